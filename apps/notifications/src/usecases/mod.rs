//! How notifications are added and listed; one operation per file.

pub mod list_notifications;
pub mod notify_user;
