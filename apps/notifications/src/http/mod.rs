//! The routes of notifications.

mod notifications;

use actix_web::web::ServiceConfig;
use service_kit::ProblemDoc;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(paths(notifications::get_notifications))]
pub struct Api;

/// None beyond those of every service.
pub const PROBLEMS: &[ProblemDoc] = &[];

pub fn routes(config: &mut ServiceConfig) {
    config.service(notifications::get_notifications);
}
