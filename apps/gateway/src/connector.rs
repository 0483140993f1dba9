//! Connections to services: plain or over TLS, as each service's base address says.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::{routes::Service, settings::GatewaySettings};

/// Makes connections to services.
pub type ServiceConnector = HttpsConnector<HttpConnector>;

/// How long a connection to a service may take: it is in the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A connector for the settings. An error if they name an authority and no service over https, or a
/// service over https and no authority.
pub fn service_connector(settings: &GatewaySettings) -> anyhow::Result<ServiceConnector> {
    let is_over_tls = |service: &Service| settings.base_of(*service).scheme_str() == Some("https");
    let over_tls = Service::ALL.into_iter().find(is_over_tls);
    let tls = match (&settings.services_ca, over_tls) {
        (Some(ca), Some(_)) => https::client(ca)?,
        (None, None) => without_authorities()?,
        (Some(_), None) => {
            anyhow::bail!("SERVICES_CA is set, but no service's base address begins with https://")
        }
        (None, Some(service)) => anyhow::bail!(
            "the base address of {service} is {}: set SERVICES_CA to a PEM file of the \
             authorities that may vouch for it",
            settings.base_of(service)
        ),
    };
    let known = |service: &Service| {
        matches!(
            settings.base_of(*service).scheme_str(),
            Some("http" | "https")
        )
    };
    let unknown = Service::ALL.into_iter().find(|service| !known(service));
    ensure!(
        unknown.is_none(),
        "a base address begins with http:// or https://: {unknown:?}"
    );
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    Ok(builder.enable_http1().wrap_connector(connector))
}

/// A TLS configuration without authorities, for settings without a service over https.
fn without_authorities() -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?;
    Ok(config
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn https_needs_an_authority_and_an_authority_needs_https() {
        let said = |settings: &[&str]| {
            let settings = ["gateway"].iter().chain(settings);
            let settings = GatewaySettings::try_parse_from(settings).unwrap();
            service_connector(&settings)
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(said(&[]), None);
        for (settings, why) in [
            (&["--users=https://users:8443"][..], "set SERVICES_CA"),
            (
                &["--services-ca=/ca.pem"],
                "no service's base address begins with https://",
            ),
            (
                &["--users=https://users:8443", "--services-ca=/no/ca.pem"],
                "/no/ca.pem",
            ),
            (&["--orders=orders:8080"], "begins with http:// or https://"),
            (
                &["--orders=ftp://orders"],
                "begins with http:// or https://",
            ),
        ] {
            let said = said(settings).unwrap();
            assert!(said.contains(why), "{settings:?}: {said}");
        }
    }
}
