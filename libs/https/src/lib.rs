//! TLS between the store's own processes. The settings always name the certificate authority; the
//! public authorities of the web are not trusted.

use std::{path::Path, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    #[error("cannot read {path}, which should be a PEM file with {what}")]
    Pem {
        what: &'static str,
        path: PathBuf,
        source: pem::Error,
    },
    #[error("{path} holds no {what}")]
    Empty { what: &'static str, path: PathBuf },
    #[error("TLS cannot be set up with {path}")]
    Tls {
        path: PathBuf,
        source: rustls::Error,
    },
}

/// The TLS configuration of a client. It accepts a server whose certificate is signed by an
/// authority in the PEM file `ca` for the server's host name.
pub fn client(ca: &Path) -> Result<ClientConfig, HttpsError> {
    let failed = |source| tls(ca, source);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(failed)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The TLS configuration of a server, from a PEM file of certificates, the server's own first, and
/// a PEM file of its private key.
pub fn server(certificate: &Path, key: &Path) -> Result<ServerConfig, HttpsError> {
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| HttpsError::Pem {
        what: "a private key",
        path: key.to_owned(),
        source,
    })?;
    let failed = |source| tls(certificate, source);
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_no_client_auth()
        .with_single_cert(certificates(certificate)?, private)
        .map_err(failed)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpsError> {
    let what = "certificates";
    let failed = |source| HttpsError::Pem {
        what,
        path: path.to_owned(),
        source,
    };
    let all = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(failed)?;
    if all.is_empty() {
        let path = path.to_owned();
        return Err(HttpsError::Empty { what, path });
    }
    Ok(all)
}

fn tls(path: &Path, source: rustls::Error) -> HttpsError {
    let path = path.to_owned();
    HttpsError::Tls { path, source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_no_certificate_or_key_is_refused_by_the_name_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (
            file("right.crt", &made.cert.pem()),
            file("right.key", &made.signing_key.serialize_pem()),
        );
        client(&certificate).unwrap();
        server(&certificate, &key).unwrap();
        let (empty, absent) = (
            file("empty.pem", "no PEM"),
            folder.path().join("absent.pem"),
        );
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let broken = file("broken.pem", broken);
        for wrong in [&empty, &absent, &key, &broken] {
            let name = wrong.display().to_string();
            assert!(
                client(wrong).unwrap_err().to_string().contains(&name),
                "{name}"
            );
            assert!(
                server(wrong, &key).unwrap_err().to_string().contains(&name),
                "{name}"
            );
        }
        for wrong in [&empty, &absent, &certificate] {
            let name = wrong.display().to_string();
            assert!(
                server(&certificate, wrong)
                    .unwrap_err()
                    .to_string()
                    .contains(&name),
                "{name}"
            );
        }
    }
}
