//! What happens to notifications, one operation per file.

pub mod list_notifications;
pub mod tell_user;
