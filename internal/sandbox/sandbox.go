// Package sandbox runs target programs in a tree made real: namespaces, a private
// root, no privilege on the host.
package sandbox
