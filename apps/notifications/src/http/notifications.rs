use actix_web::{get, web::Query};
use service_kit::{Answer, Call, Page, PageQuery, Responded};

use crate::{
    state::State,
    usecases::list_notifications::{ListNotifications, NotificationView, list_notifications},
};

/// Your notifications, newest first.
#[utoipa::path(
    tag = "notifications",
    params(PageQuery),
    security(("token" = [])),
    responses((status = 200, body = Page<NotificationView>))
)]
#[get("/api/notifications")]
pub async fn get_notifications(call: Call<State>, page: Query<PageQuery>) -> Responded {
    let user_id = call.caller()?.user_id;
    let list = ListNotifications {
        user_id,
        limit: page.limit()?,
        after: page.after()?,
    };
    call.map(|_| list)
        .run_in_transaction("notifications.list", list_notifications, Answer::ok)
        .await
}
