# What every machine is told.
node default {
  file { '/etc/motd':
    content => "kept by Puppet\n",
  }
}
