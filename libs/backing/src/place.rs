use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use nix::unistd::User;
use rand::Rng;

use crate::{engine, hold::Hold};

/// The user that a server runs as if we are root, whom PostgreSQL refuses.
#[derive(Clone, Copy, Debug)]
pub struct Unprivileged {
    pub uid: u32,
    pub gid: u32,
}

impl Unprivileged {
    /// `None` if we are nobody special ourselves.
    pub fn if_root() -> anyhow::Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            if let Some(user) = User::from_name(name)? {
                return Ok(Some(Self {
                    uid: user.uid.as_raw(),
                    gid: user.gid.as_raw(),
                }));
            }
        }
        bail!("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")
    }
}

/// The folder of a server, and the hold on it: `data`, or one that is thrown away with the server.
pub async fn claim(
    data: Option<&Path>,
    server: &str,
    user: Option<Unprivileged>,
) -> anyhow::Result<(PathBuf, Hold)> {
    if let Some(data) = data {
        let folder = reachable(data, user)?;
        let hold = Hold::keep(&folder).await?;
        return Ok((folder, hold));
    }
    let name = format!(
        "tovar-{server}-{}-{:08x}",
        std::process::id(),
        rand::random::<u32>()
    );
    let wanted = std::env::temp_dir().join(name);
    let folder = reachable(&wanted, user)?;
    let hold = Hold::throw_away(&[&wanted, &folder])?;
    Ok((folder, hold))
}

/// The folder in which a server that runs as `user` keeps what belongs to `wanted`: the very folder, unless that lies
/// where the user cannot go, such as below /root.
fn reachable(wanted: &Path, user: Option<Unprivileged>) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(wanted).with_context(|| format!("cannot make {}", wanted.display()))?;
    let wanted = wanted.canonicalize()?;
    let Some(user) = user else { return Ok(wanted) };
    let passable =
        |folder: &Path| fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o001 != 0);
    let folder = if wanted.ancestors().skip(1).all(passable) {
        wanted
    } else {
        elsewhere(&wanted)
    };
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    chown(&folder, Some(user.uid), Some(user.gid))?;
    Ok(folder)
}

fn elsewhere(wanted: &Path) -> PathBuf {
    Path::new("/var/lib/tovar").join(name_of(wanted))
}

/// A name for what belongs to a folder but cannot lie in it.
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

/// A hash that stays the same from one build to the next (Fowler, Noll, Vo: FNV-1a, 64 bits).
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Removes what a server keeps for `folder`: the folder, what had to lie elsewhere, and its Docker volume.
pub fn forget_data(folder: &Path) -> anyhow::Result<()> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    for path in [&folder, &elsewhere(&folder)] {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    engine::forget_volume(name_of(&folder))
}

/// A port of 127.0.0.1 that nobody uses at the moment. It lies below those that systems take for outgoing connections
/// (Linux: from 32768), one of which could take it while its server is down.
pub fn free_port() -> anyhow::Result<u16> {
    let mut random = rand::rng();
    (0..1000)
        .map(|_| random.random_range(15_000..32_000))
        .find(|port| is_free(*port))
        .context("no port of 127.0.0.1 from 15000 to 31999 is free")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).is_ok()
}

/// The port to use again: the one that the folder remembers if it is free, else a new one.
pub fn remembered_port(folder: &Path, file: &str) -> anyhow::Result<u16> {
    let memory = folder.join(file);
    let known = fs::read_to_string(&memory)
        .ok()
        .and_then(|text| text.trim().parse::<u16>().ok());
    if let Some(port) = known.filter(|port| is_free(*port)) {
        return Ok(port);
    }
    let port = free_port()?;
    fs::write(memory, port.to_string())?;
    Ok(port)
}
