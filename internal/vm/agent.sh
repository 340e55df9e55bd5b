# ingot's agent in a machine that "ingot boot" runs: reads commands from a virtio
# port and answers with their output and status. It lies in /run, in memory only.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
cd /
port=/dev/virtio-ports/ingot.agent dir=/run/ingot tries=0
until [ -c $port ]; do
	tries=$((tries + 1))
	[ $tries -lt 15 ] || exit 1
	sleep 1
done
exec 3<>$port || exit 1
printf '\nhello 1\n' >&3 || exit 1
while IFS=' ' read -r verb id limit text <&3; do
	[ "$verb" = run ] || continue
	printf %s "$text" | base64 -d >$dir/command
	timeout -k 2 "$limit" sh $dir/command >$dir/output 2>&1 </dev/null 3>&-
	status=$?
	head -c 1048576 $dir/output | base64 -w 1000 | sed "s/^/out $id /" >&3
	printf 'done %s %s %s\n' "$id" "$status" "$(wc -c <$dir/output)" >&3
done
