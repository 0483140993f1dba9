use std::{net::IpAddr, sync::Arc};

use actix_web::{
    Error, HttpRequest, ResponseError,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::HeaderValue,
    middleware::Next,
    web::Data,
};
use limits::{Limits, Purpose};

use super::problem::ApiError;

/// What [`admit`] needs to know.
pub struct Door {
    pub limits: Arc<Limits>,
    /// How many proxies stand before the service, the gateway among them.
    pub proxies: usize,
}

/// Counts each request by its network before anything else, also those that no route has. The
/// gateway does the same, but some are reached in other ways. Callers are counted once they have
/// proved who they are.
pub async fn admit(
    door: Data<Door>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let purpose = Purpose::of(request.method().as_str(), request.path());
    let admitted = match network(request.request()) {
        Some(network) => door.limits.admit(network, purpose),
        None => Ok(()),
    };
    match admitted {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(error) => {
            let refusal = ApiError::from(error).error_response();
            Ok(request.into_response(refusal).map_into_right_body())
        }
    }
}

/// The network from which a request comes: an address of version 4, or the first bits of one of
/// version 6.
pub fn network(request: &HttpRequest) -> Option<IpAddr> {
    let door = request.app_data::<Data<Door>>();
    let proxies = door.map_or(1, |door| door.proxies);
    let forwarded = request.headers().get_all("x-forwarded-for");
    let peer = request.peer_addr().map(|peer| peer.ip());
    limits::sender(peer, forwarded.map(HeaderValue::as_bytes), proxies).map(limits::network)
}
