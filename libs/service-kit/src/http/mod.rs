//! One request: read at the border, done in one transaction, answered.

pub mod answer;
pub mod body;
pub mod call;
pub mod docs;
pub mod events;
pub mod execute;
pub mod headers;
pub mod limit;
pub mod methods;
pub mod observe;
pub mod page;
pub mod problem;
pub mod version;
