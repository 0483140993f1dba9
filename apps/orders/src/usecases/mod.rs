//! What customers do with orders, and what events add to them; one operation per file.

mod advance;
pub mod copy_goods;
mod error;
pub mod learn_fact;
pub mod list_orders;
pub mod place_order;
pub mod repeat_verdict;
pub mod request_stop;
pub mod stream_order;
pub mod sweep;
pub mod view_order;

pub use error::OrderError;
