use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, Permissions},
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, bail};
use nix::{fcntl::OFlag, unistd::User};
use rand::Rng;

use crate::{engine, folder_lock::FolderLock, private};

/// The user that servers run as if this process is root: PostgreSQL refuses to run as root, and no
/// server needs root's rights.
#[derive(Clone, Copy, Debug)]
pub struct Unprivileged {
    pub uid: u32,
    pub gid: u32,
}

impl Unprivileged {
    /// `None` if this process is not root.
    pub fn if_root() -> anyhow::Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        for name in ["tovar", "postgres", "nobody"] {
            if let Some(user) = User::from_name(name)? {
                return Ok(Some(Self {
                    uid: user.uid.as_raw(),
                    gid: user.gid.as_raw(),
                }));
            }
        }
        bail!(
            "servers do not run as root, and there is no user tovar, postgres or nobody to run \
             them as"
        )
    }

    /// Makes this user the owner of a file or folder. If the path is a link, only the link changes.
    pub fn own(self, path: &Path) -> anyhow::Result<()> {
        lchown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("{} cannot be given to the servers' user", path.display()))
    }

    /// Lets this user pass through a folder, but not list it.
    pub fn may_pass(self, folder: &Path) -> anyhow::Result<()> {
        let pass = || -> io::Result<()> {
            let folder = open_folder(folder)?;
            fchown(&folder, None, Some(self.gid))?;
            folder.set_permissions(Permissions::from_mode(0o710))
        };
        pass()
            .with_context(|| format!("{} cannot be opened to the servers' user", folder.display()))
    }

    /// The path at which this user can run a program: the program itself, or a copy in a folder
    /// that all users can enter.
    pub fn program(self, program: &Path) -> anyhow::Result<PathBuf> {
        if self.reaches(program) {
            return Ok(program.to_owned());
        }
        let name = program.file_name().context("a program has a name")?;
        let folder = program.parent().unwrap_or(program);
        let folder = elsewhere(folder);
        let copy = folder.join(name);
        let put = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            for open in [Path::new(ELSEWHERE), &folder] {
                fs::set_permissions(open, Permissions::from_mode(0o755))?;
            }
            let draft = copy.with_extension("new");
            match fs::remove_file(&draft) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            if fs::hard_link(program, &draft).is_err() {
                fs::copy(program, &draft)?;
            }
            fs::rename(&draft, &copy)
        };
        put().with_context(|| format!("cannot put {} at {}", program.display(), copy.display()))?;
        Ok(copy)
    }

    /// Whether this user can enter each folder above a path.
    fn reaches(self, path: &Path) -> bool {
        path.ancestors().skip(1).all(|folder| {
            fs::metadata(folder).is_ok_and(|found| {
                let mode = found.permissions().mode();
                mode & 0o001 != 0 || (mode & 0o010 != 0 && found.gid() == self.gid)
            })
        })
    }
}

/// The folder for data and programs that would otherwise lie where the servers' user cannot go.
const ELSEWHERE: &str = "/var/lib/tovar";

fn open_folder(folder: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(folder)
}

/// The locked folder of a server: `data`, or a new one that is removed when the server has ended.
pub async fn claim(
    data: Option<&Path>,
    server: &str,
    user: Option<Unprivileged>,
) -> anyhow::Result<(PathBuf, FolderLock)> {
    if let Some(data) = data {
        let folder = reachable(data, user)?;
        let lock = FolderLock::acquire(&folder).await?;
        return Ok((folder, lock));
    }
    let name = format!(
        "tovar-{server}-{}-{:08x}",
        std::process::id(),
        rand::random::<u32>()
    );
    let wanted = std::env::temp_dir().join(name);
    private::new_folder(&wanted).with_context(|| format!("cannot make {}", wanted.display()))?;
    let folder = reachable(&wanted, user)?;
    let lock = FolderLock::remove_when_free(&[&wanted, &folder])?;
    Ok((folder, lock))
}

/// The folder in which a server that runs as `user` keeps the data of `wanted`: `wanted` itself, or
/// a folder elsewhere if the user cannot reach it, such as below /root.
fn reachable(wanted: &Path, user: Option<Unprivileged>) -> anyhow::Result<PathBuf> {
    private::folder(wanted)?;
    let Some(user) = user else {
        return Ok(wanted.canonicalize()?);
    };
    let wanted = in_its_place(wanted)?;
    if wanted.is_symlink() {
        bail!(
            "{} is a link, which root does not follow; name the folder itself with --data",
            wanted.display()
        );
    }
    let folder = if user.reaches(&wanted) {
        wanted
    } else {
        private::folder(&elsewhere(&wanted))?;
        fs::set_permissions(ELSEWHERE, Permissions::from_mode(0o755))?;
        elsewhere(&wanted)
    };
    give(&folder, user)
        .with_context(|| format!("{} cannot be given to the servers' user", folder.display()))?;
    Ok(folder)
}

/// Makes `user` the owner of a folder and, if another user had it, of all that is in it.
fn give(folder: &Path, user: Unprivileged) -> io::Result<()> {
    let opened = open_folder(folder)?;
    let is_its_own = opened.metadata()?.uid() == user.uid;
    fchown(&opened, Some(user.uid), Some(user.gid))?;
    opened.set_permissions(Permissions::from_mode(0o700))?;
    if is_its_own {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give(&entry.path(), user)?;
        } else {
            lchown(entry.path(), Some(user.uid), Some(user.gid))?;
        }
    }
    Ok(())
}

/// The path with the links above its last part resolved, but not a link at its end.
fn in_its_place(path: &Path) -> io::Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(above), Some(name)) => {
            let above = if above.as_os_str().is_empty() {
                Path::new(".")
            } else {
                above
            };
            Ok(above.canonicalize()?.join(name))
        }
        _ => path.canonicalize(),
    }
}

fn elsewhere(wanted: &Path) -> PathBuf {
    Path::new(ELSEWHERE).join(name_of(wanted))
}

/// A name for data that belong to a folder but cannot lie in it, such as a Docker volume.
pub fn name_of(folder: &Path) -> String {
    let last = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    format!(
        "tovar-{last}-{:016x}",
        fnv1a(folder.as_os_str().as_encoded_bytes())
    )
}

/// A hash that does not change from one build to the next (FNV-1a, 64 bits).
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Removes the data of `folder`: the folder, its data elsewhere, and its Docker volume. The target
/// of a link stays.
pub fn forget_data(folder: &Path) -> anyhow::Result<()> {
    let volume = name_of(&folder.canonicalize().unwrap_or_else(|_| folder.to_owned()));
    let folder = in_its_place(folder).unwrap_or_else(|_| folder.to_owned());
    for path in [&folder, &elsewhere(&folder)] {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    engine::forget_volume(volume)
}

/// The ports that this process has chosen, until it ends. Each is held by the UDP port of the same
/// number, by which other processes see that it is chosen. A server listens some seconds after its
/// port was chosen, and another server could be given the same port meanwhile.
static CHOSEN: Mutex<BTreeMap<u16, UdpSocket>> = Mutex::new(BTreeMap::new());

/// A port of 127.0.0.1 that no program uses or has chosen. It is below the ports for outgoing
/// connections (Linux: from 32768): one of these could take it while its server is down.
pub fn free_port() -> anyhow::Result<u16> {
    let mut random = rand::rng();
    (0..1000)
        .map(|_| random.random_range(15_000..32_000))
        .find(|port| choose(*port, false))
        .context("no port of 127.0.0.1 from 15000 to 31999 is free")
}

/// Whether a port is free, and now chosen. A port that this process has chosen before is free only
/// if it asks for it `again`.
fn choose(port: u16, again: bool) -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut chosen = CHOSEN.lock().unwrap_or_else(PoisonError::into_inner);
    if TcpListener::bind(address).is_err() {
        return false;
    }
    if chosen.contains_key(&port) {
        return again;
    }
    match UdpSocket::bind(address) {
        Ok(held) => chosen.insert(port, held).is_none(),
        Err(_) => false,
    }
}

/// The port in a file of the folder if it is free, else a new one, which the file then holds.
pub fn remembered_port(folder: &Path, file: &str) -> anyhow::Result<u16> {
    let memory = folder.join(file);
    let known = fs::read_to_string(&memory)
        .ok()
        .and_then(|text| text.trim().parse::<u16>().ok());
    if let Some(port) = known.filter(|port| choose(*port, true)) {
        return Ok(port);
    }
    let port = free_port()?;
    private::write(&memory, port.to_string().as_bytes())?;
    Ok(port)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn is_root() -> bool {
        nix::unistd::geteuid().is_root()
    }

    #[test]
    fn a_port_is_chosen_once() {
        let port = free_port().unwrap();
        assert!(!choose(port, false), "by another server of this process");
        assert!(choose(port, true), "by the same server, which starts again");
        let other = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let taken = other.local_addr().unwrap().port();
        assert!(!choose(taken, true), "by another process");
    }

    #[test]
    fn what_a_link_leads_to_is_not_removed() {
        let home = tempfile::tempdir().unwrap();
        let (other, data) = (home.path().join("other"), home.path().join("data"));
        fs::create_dir_all(other.join("kept")).unwrap();
        fs::create_dir(&data).unwrap();
        symlink(&other, data.join("postgres")).unwrap();
        forget_data(&data.join("postgres")).unwrap();
        assert!(other.join("kept").is_dir());
        assert!(!data.join("postgres").is_symlink());
        forget_data(&other).unwrap();
        assert!(!other.exists());
    }

    /// Only root can change the owner of a folder.
    #[test]
    fn what_a_link_leads_to_is_not_given_away() {
        let Some(user) = Unprivileged::if_root().unwrap() else {
            return;
        };
        let home = tempfile::tempdir().unwrap();
        let other = home.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("file"), "").unwrap();
        symlink(&other, home.path().join("postgres")).unwrap();
        let refused = reachable(&home.path().join("postgres"), Some(user)).unwrap_err();
        assert!(format!("{refused:#}").contains("is a link"), "{refused:#}");

        // A link inside of a folder is not followed either.
        let mine = home.path().join("mine");
        fs::create_dir(&mine).unwrap();
        symlink(&other, mine.join("folder")).unwrap();
        symlink(other.join("file"), mine.join("file")).unwrap();
        give(&mine, user).unwrap();
        for (path, owner) in [(&other, 0), (&other.join("file"), 0), (&mine, user.uid)] {
            assert_eq!(
                fs::metadata(path).unwrap().uid(),
                owner,
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn a_server_s_folder_is_closed_to_others() {
        let home = tempfile::tempdir().unwrap();
        let user = Unprivileged::if_root().unwrap();
        let folder = reachable(&home.path().join("kafka"), user).unwrap();
        let found = fs::metadata(&folder).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o700);
        let owner = user.map_or_else(|| nix::unistd::geteuid().as_raw(), |user| user.uid);
        assert_eq!(found.uid(), owner);
        forget_data(&home.path().join("kafka")).unwrap();
    }

    #[test]
    fn a_program_that_lies_where_its_user_cannot_go_is_put_where_it_can() {
        if !is_root() {
            return;
        }
        let user = Unprivileged::if_root().unwrap().unwrap();
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o700)).unwrap();
        let program = home.path().join("orders");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let found = user.program(&program).unwrap();
        assert_ne!(found, program);
        assert_eq!(found.file_name(), program.file_name());
        assert!(user.reaches(&found));
        // As after another build.
        fs::remove_file(&program).unwrap();
        fs::write(&program, "#!/bin/sh\ntrue\n").unwrap();
        assert_eq!(
            fs::read_to_string(user.program(&program).unwrap()).unwrap(),
            "#!/bin/sh\ntrue\n"
        );
        fs::remove_dir_all(found.parent().unwrap()).unwrap();

        user.may_pass(home.path()).unwrap();
        assert_eq!(user.program(&program).unwrap(), program);
    }
}
