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

/// What [`admit`] needs.
pub struct Admission {
    pub limits: Arc<Limits>,
    /// Trusted proxies before the service; the gateway is one.
    pub proxies: usize,
}

/// Counts each request by its network before anything else, also a request that no route takes. The
/// gateway does the same, but a service may be reached without it. A caller is counted later, once
/// their token is verified.
pub async fn admit(
    admission: Data<Admission>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let purpose = Purpose::of(request.method().as_str(), request.path());
    let admitted = match network(request.request()) {
        Some(network) => admission.limits.admit(network, purpose),
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

/// The network from which a request comes: an address of IPv4, or the first 64 bits of one of IPv6.
pub fn network(request: &HttpRequest) -> Option<IpAddr> {
    let admission = request.app_data::<Data<Admission>>();
    let proxies = admission.map_or(1, |admission| admission.proxies);
    let forwarded = request.headers().get_all("x-forwarded-for");
    let peer = request.peer_addr().map(|peer| peer.ip());
    limits::sender(peer, forwarded.map(HeaderValue::as_bytes), proxies).map(limits::network)
}
