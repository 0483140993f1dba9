use std::{
    fmt,
    net::{SocketAddr, TcpListener},
};

use crate::services::ServiceInfo;

/// What a process of the store is.
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
    ops_port: u16,
}

impl Process {
    pub fn new(role: Role, ops_port: u16) -> Self {
        let settings = vec![
            ("OPS_LISTEN", format!("127.0.0.1:{ops_port}")),
            ("LOG_FORMAT", "json".to_owned()),
        ];
        Self {
            role,
            settings,
            ops_port,
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

    /// What it is called in output, logs and the store file.
    pub fn name(&self) -> String {
        match self.role {
            Role::Service(service) => service.name.to_owned(),
            Role::Relay(service) => format!("{}-relay", service.name),
            Role::Gateway => "gateway".to_owned(),
        }
    }

    pub fn ops_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ops_port)
    }
}

impl fmt::Debug for Process {
    /// Without the settings, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Ports that nobody uses. They stay taken until all are chosen, so that none is chosen twice.
#[derive(Default)]
pub struct FreePorts(Vec<TcpListener>);

impl FreePorts {
    pub fn take(&mut self) -> std::io::Result<u16> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let port = listener.local_addr()?.port();
        self.0.push(listener);
        Ok(port)
    }
}
