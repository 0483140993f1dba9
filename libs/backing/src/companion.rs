use std::{
    io::{self, PipeReader, PipeWriter},
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
    sync::OnceLock,
};

/// Becomes the program, after it left a watcher behind: the watcher ends the program when our pipe breaks, unless the
/// program has ended itself and its process id is another's by then (the 22nd word is when a process started).
const SHELL: &str = r#"
exec 3<&0 </dev/null
born() { cut -d ' ' -f 22 /proc/$$/stat; }
since=$(born)
(
  trap "" HUP
  exec >/dev/null 2>&1
  read -r _ <&3
  [ "$(born)" = "$since" ] || exit
  kill -s TERM $$
  waited=0
  while kill -0 $$ && [ "$(born)" = "$since" ] && [ $waited -lt 300 ]; do sleep 0.1; waited=$((waited + 1)); done
  [ "$(born)" != "$since" ] || kill -s KILL $$
) &
exec "$0" "$@" 3<&-
"#;

/// One pipe for the whole process: it breaks when we are gone, however that happened.
static TETHER: OnceLock<io::Result<(PipeReader, PipeWriter)>> = OnceLock::new();

/// A command for a program that gets a SIGTERM when we end, and is killed if it takes longer than 30 s. Its process id
/// is the child's; its standard input is empty.
pub fn tethered(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", SHELL]).arg(program).process_group(0);
    if let Ok((ears, _)) = TETHER.get_or_init(io::pipe)
        && let Ok(ears) = ears.try_clone()
    {
        command.stdin(ears);
    }
    command
}
