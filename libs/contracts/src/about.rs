use kernel::{OrderId, UserId};
use serde::Deserialize;

use crate::OrderSheet;

/// The user and the order that an event of any type is about. The event carries the order's sheet,
/// or the ids.
#[derive(Deserialize)]
pub struct About {
    #[serde(rename = "order")]
    pub sheet: Option<OrderSheet>,
    order_id: Option<OrderId>,
    user_id: Option<UserId>,
}

impl About {
    /// `None` if the payload is no event.
    pub fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    pub fn order_id(&self) -> Option<OrderId> {
        self.order_id
            .or(self.sheet.as_ref().map(|sheet| sheet.order_id))
    }

    pub fn user_id(&self) -> Option<UserId> {
        self.user_id
            .or(self.sheet.as_ref().map(|sheet| sheet.user_id))
    }
}
