use std::{fmt, io, net::SocketAddr};

use backing::Unprivileged;
use telemetry::Reservation;

use crate::services::ServiceInfo;

/// The role of a process of the store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Service(ServiceInfo),
    Relay(ServiceInfo),
    Gateway,
}

/// A process of the store: its program and settings.
#[derive(Clone)]
pub struct Process {
    pub role: Role,
    pub settings: Vec<(&'static str, String)>,
    ops: SocketAddr,
}

impl Process {
    pub fn new(role: Role, ops: &Reservation) -> Self {
        let settings = vec![
            ("OPS_LISTEN", ops.setting()),
            ("LOG_FORMAT", "json".to_owned()),
        ];
        Self {
            role,
            settings,
            ops: ops.address(),
        }
    }

    #[must_use]
    pub fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.settings.push((variable, value.to_owned()));
        self
    }

    /// The program's file name.
    pub fn program(&self) -> &'static str {
        match self.role {
            Role::Service(service) => service.name,
            Role::Relay(_) => "outbox-relay",
            Role::Gateway => "gateway",
        }
    }

    /// Its name in output, logs and the store file.
    pub fn name(&self) -> String {
        match self.role {
            Role::Service(service) => service.name.to_owned(),
            Role::Relay(service) => format!("{}-relay", service.name),
            Role::Gateway => "gateway".to_owned(),
        }
    }

    pub fn ops_url(&self) -> String {
        format!("http://{}", self.ops)
    }
}

impl fmt::Debug for Process {
    /// Without the settings, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Ports of this machine that this process reserves for the store's processes: while one of them
/// restarts, no other user of this machine can take its port.
#[derive(Default)]
pub struct Ports {
    held: Vec<Reservation>,
    /// The user that the processes run as, if it is another one.
    user: Option<Unprivileged>,
}

impl Ports {
    pub fn of(user: Option<Unprivileged>) -> Self {
        Self {
            held: Vec::new(),
            user,
        }
    }

    /// Reserves this port; for 0 a free one.
    pub fn take(&mut self, port: u16) -> io::Result<&Reservation> {
        let reservation = Reservation::of(port, self.user.map(|user| user.uid))?;
        self.held.push(reservation);
        Ok(&self.held[self.held.len() - 1])
    }
}
