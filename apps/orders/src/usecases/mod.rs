//! What customers do with orders, and what is learnt of them; one operation per file.

pub mod copy_goods;
mod error;
mod go_on;
pub mod learn_fact;
pub mod list_orders;
pub mod place_order;
pub mod repeat_verdict;
pub mod request_stop;
pub mod stream_order;
pub mod sweep;
pub mod view_order;

pub use error::OrderError;
