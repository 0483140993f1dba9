/// Who connects to a service's database, beside its owner. The owner runs migrations, and operators
/// act as the owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DatabaseRole {
    /// The service's program: reads and writes its tables, and changes none of them.
    Service,
    /// The relay: reads the outbox, and keeps its cursor.
    Relay,
    /// Commands that look: reads what they need, and no secret.
    Reader,
}

impl DatabaseRole {
    pub const ALL: [Self; 3] = [Self::Service, Self::Relay, Self::Reader];

    /// What its name ends with.
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

/// Makes these roles, and keeps them from what only an administrator can keep them from: to be run
/// in the service's database.
pub const ROLES_SQL: &str = include_str!("../roles.sql");
