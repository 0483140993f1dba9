# Guards a local server: stops it when the process that started it has ended in any way. $1 is the signal that stops
# the server in good order, $2 its log, the rest is the server. Its process id is printed. stdin is a pipe that breaks
# with that process. stderr is the folder lock (see folder_lock.rs), which this shell keeps open for as long as the
# server runs.
stop=$1 log=$2
shift 2
# The kernel sends it to a group with a frozen member whose parent is gone.
trap "" HUP
exec 3<&0 4>&2 2>/dev/null
"$@" </dev/null >>"$log" 2>&1 3<&- 4>&- &
server=$!
echo $server
exec >/dev/null

# A frozen server would not hear the signal; its children are frozen with it.
thaw() {
  kill -s CONT $server
  for stat in /proc/[0-9]*/stat; do
    read -r line <"$stat" || continue
    # pid (name) state parent …; the name may hold anything, so count from its end.
    set -- ${line##*) }
    [ "$2" != $server ] || kill -s CONT "${line%% *}"
  done
}

(
  read -r _ <&3
  kill -s "$stop" $server
  thaw
  waited=0
  while kill -0 $server && [ $waited -lt 200 ]; do
    sleep 0.1
    waited=$((waited + 1))
  done
  kill -s KILL $server
) &
watcher=$!
wait $server
kill -s KILL $watcher
