//! What managers do with goods, and what orders do with them; one operation per file.

mod error;
pub mod follow_order;
pub mod list_goods;
pub mod list_movements;
pub mod put_goods;
pub mod receive_goods;

pub use error::WarehouseError;
