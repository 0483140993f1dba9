/// The roles of a service's database beside its owner. The owner runs migrations, and operators log
/// in as the owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DatabaseRole {
    /// The service's program: reads and writes its tables, and changes none of them.
    Service,
    /// The relay: reads the outbox, and keeps its cursor.
    Relay,
    /// Commands that only read: it reads what they need, and no secret.
    Reader,
}

impl DatabaseRole {
    pub const ALL: [Self; 3] = [Self::Service, Self::Relay, Self::Reader];

    /// The end of its name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Service => "_service",
            Self::Relay => "_relay",
            Self::Reader => "_reader",
        }
    }

    /// Its name in this database.
    pub fn of(self, database: &str) -> String {
        format!("{database}{}", self.suffix())
    }
}

/// SQL that an administrator runs in the service's database: it creates these roles, and takes
/// rights from them that only an administrator can take.
pub const ROLES_SQL: &str = include_str!("../roles.sql");
