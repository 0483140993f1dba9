use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;
use percent_encoding::percent_decode_str;
use tokio_postgres::Config;

use crate::SslMode;

/// The address of a database. Each of its parameters takes effect, or the address is refused.
pub struct Address {
    pub config: Config,
    /// The strongest mode that the address names.
    pub sslmode: SslMode,
    pub sslrootcert: Option<PathBuf>,
}

/// Why an address of a database cannot be used. The messages never show the user and password.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error(
        "DATABASE_URL is not of the form postgres://user:password@host:port/name?parameter=value"
    )]
    Form,
    #[error(
        "DATABASE_URL has a question mark before an @: in a user or password write %3F, and %40 \
         for any other @"
    )]
    QuestionMark,
    #[error("DATABASE_URL cannot be used")]
    Driver(#[from] tokio_postgres::Error),
    #[error("the parameter {name} of DATABASE_URL is not supported: {instead}")]
    Parameter { name: String, instead: &'static str },
    #[error("{value:?} is no value for the parameter {name} of DATABASE_URL: {instead}")]
    Value {
        name: String,
        value: String,
        instead: &'static str,
    },
    #[error(
        "options in DATABASE_URL set {0}, which the store sets for each session itself: leave it \
         out"
    )]
    OwnOption(&'static str),
}

/// How soon a connection that is silent is closed: after 10 s a probe, every 5 s another one, 3 of
/// them; and at most 5 s to connect. An address may set other values.
const DEFAULT_PARAMETERS: &str =
    "connect_timeout=5&keepalives_idle=10&keepalives_interval=5&keepalives_retries=3";
const TCP_USER_TIMEOUT_MS: u64 = 30_000;

/// Parameters that the store's sessions set themselves. An address must not set them.
const OWN_OPTIONS: [&str; 9] = [
    "synchronous_commit",
    "timezone",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "plan_cache_mode",
    "enable_seqscan",
    "jit",
];

impl Address {
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(AddressError::Form);
        }
        // The driver splits the address at the first @ and then at the first question mark.
        let behind_user = url.find('@').unwrap_or(0);
        if url[..behind_user].contains('?') {
            return Err(AddressError::QuestionMark);
        }
        let (base, parameters) = url.split_once('?').unwrap_or((url, ""));
        let mut address = Self {
            config: Config::new(),
            sslmode: SslMode::Disable,
            sslrootcert: None,
        };
        let mut for_driver = format!("{base}?{DEFAULT_PARAMETERS}");
        let mut tcp_user_timeout = TCP_USER_TIMEOUT_MS;
        for parameter in parameters
            .split('&')
            .filter(|parameter| !parameter.is_empty())
        {
            let (name, raw) = parameter.split_once('=').ok_or(AddressError::Form)?;
            let (name, value) = (decoded(name)?, decoded(raw)?);
            let wrong = |instead| AddressError::Value {
                name: name.clone(),
                value: value.clone(),
                instead,
            };
            match name.as_str() {
                "sslmode" => {
                    let mode = SslMode::from_str(&value, false);
                    let known = "one of disable, allow, prefer, require, verify-ca, verify-full";
                    address.sslmode = address.sslmode.max(mode.map_err(|_| wrong(known))?);
                }
                "sslrootcert" if value == "system" => {
                    return Err(wrong("name the PEM file of the system's authorities"));
                }
                "sslrootcert" => address.sslrootcert = Some(value.into()),
                // libpq means milliseconds, but the driver reads seconds.
                "tcp_user_timeout" => {
                    let millis = value
                        .parse::<u64>()
                        .map_err(|_| wrong("a number of milliseconds"))?;
                    if millis > 0 {
                        tcp_user_timeout = millis;
                    }
                }
                "keepalives_count" => for_driver += &format!("&keepalives_retries={raw}"),
                _ if is_for_driver(&name) => {
                    if name == "options" {
                        check_options(&value)?;
                    }
                    for_driver += &format!("&{name}={raw}");
                }
                _ if holds_anyway(&name, &value) => {}
                _ => {
                    let instead = instead_of(&name);
                    return Err(AddressError::Parameter { name, instead });
                }
            }
        }
        address.config = for_driver.parse()?;
        address
            .config
            .tcp_user_timeout(Duration::from_millis(tcp_user_timeout));
        Ok(address)
    }
}

fn decoded(text: &str) -> Result<String, AddressError> {
    let text = percent_decode_str(text).decode_utf8();
    Ok(text.map_err(|_| AddressError::Form)?.into_owned())
}

fn is_for_driver(name: &str) -> bool {
    [
        "host",
        "hostaddr",
        "port",
        "user",
        "password",
        "dbname",
        "options",
        "connect_timeout",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "target_session_attrs",
        "load_balance_hosts",
        "channel_binding",
    ]
    .contains(&name)
}

/// Whether a parameter asks for something that is always the case, so that it can be left out.
fn holds_anyway(name: &str, value: &str) -> bool {
    match name {
        "sslnegotiation" => value == "postgres",
        "sslcompression" => value == "0",
        "sslsni" => value == "1",
        "gssencmode" => ["disable", "prefer"].contains(&value),
        "ssl_min_protocol_version" => ["TLSv1", "TLSv1.1", "TLSv1.2"].contains(&value),
        "ssl_max_protocol_version" => value == "TLSv1.3",
        "client_encoding" => {
            value.eq_ignore_ascii_case("utf8") || value == "UTF-8" || value == "auto"
        }
        // It names sessions without a name, and each session has one.
        "fallback_application_name" => true,
        _ => false,
    }
}

fn instead_of(name: &str) -> &'static str {
    match name {
        "application_name" => "each process names its sessions after itself; leave it out",
        "ssl" => "write sslmode=require, or set DATABASE_SSLMODE",
        "sslcert" | "sslkey" | "sslpassword" | "sslcertmode" => {
            "the store logs in with a password, not with a certificate"
        }
        "sslnegotiation" => "TLS is asked for in PostgreSQL's way; leave it out",
        "sslcrl" | "sslcrldir" => {
            "revoked certificates are not looked up; renew the authority in DATABASE_CA"
        }
        "gssencmode" | "krbsrvname" | "gsslib" | "gssdelegation" => {
            "the store does not know GSSAPI; set DATABASE_SSLMODE for TLS"
        }
        "passfile" | "service" => {
            "write it into the address; DATABASE_URL=file:/path reads that from a file"
        }
        "keepalives_retries" => "write keepalives_count",
        _ => "leave it out",
    }
}

fn check_options(options: &str) -> Result<(), AddressError> {
    for word in options.split_whitespace() {
        let word = word
            .strip_prefix("--")
            .or_else(|| word.strip_prefix("-c"))
            .unwrap_or(word);
        let name = word.split_once('=').map_or("", |(name, _)| name);
        let name = name.replace('-', "_").to_lowercase();
        if let Some(own) = OWN_OPTIONS.into_iter().find(|own| *own == name) {
            return Err(AddressError::OwnOption(own));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::{ChannelBinding, LoadBalanceHosts, TargetSessionAttrs};

    use super::*;

    const PLACE: &str = "postgres://u:p@h:5433/d";

    fn with(parameters: &str) -> Result<Address, AddressError> {
        Address::parse(&format!("{PLACE}?{parameters}"))
    }

    #[test]
    fn each_sslmode_is_kept_and_of_several_the_strongest() {
        for (parameters, mode) in [
            ("", SslMode::Disable),
            ("sslmode=disable", SslMode::Disable),
            ("sslmode=allow", SslMode::Prefer),
            ("sslmode=prefer", SslMode::Prefer),
            ("sslmode=require", SslMode::Require),
            ("sslmode=verify-ca", SslMode::VerifyCa),
            ("sslmode=verify-full", SslMode::VerifyFull),
            ("sslmode=verify%2Dfull", SslMode::VerifyFull),
            ("ssl%6Dode=require", SslMode::Require),
            ("sslmode=require&sslmode=disable", SslMode::Require),
            ("port=1&sslmode=disable&sslmode=require", SslMode::Require),
        ] {
            assert_eq!(with(parameters).unwrap().sslmode, mode, "{parameters}");
        }
        let ca = with("sslrootcert=%2Fa%20b.pem").unwrap().sslrootcert;
        assert_eq!(ca.unwrap(), PathBuf::from("/a b.pem"));
    }

    #[test]
    fn what_the_driver_knows_reaches_it_and_goes_before_the_defaults() {
        let plain = with("").unwrap().config;
        let seconds = Duration::from_secs;
        assert_eq!(plain.get_connect_timeout(), Some(&seconds(5)));
        assert_eq!(plain.get_keepalives_idle(), seconds(10));
        assert_eq!(plain.get_tcp_user_timeout(), Some(&seconds(30)));
        let config = with(
            "connect_timeout=7&keepalives_idle=8&keepalives_count=9&tcp_user_timeout=4000\
             &options=-c%20search_path%3Dshop\
             &target_session_attrs=read-write&load_balance_hosts=random&channel_binding=require\
             &gssencmode=prefer&client_encoding=UTF8",
        );
        let config = config.unwrap().config;
        assert_eq!(config.get_connect_timeout(), Some(&seconds(7)));
        assert_eq!(config.get_keepalives_idle(), seconds(8));
        assert_eq!(config.get_keepalives_retries(), Some(9));
        assert_eq!(config.get_tcp_user_timeout(), Some(&seconds(4)));
        assert_eq!(config.get_options(), Some("-c search_path=shop"));
        assert_eq!(
            config.get_target_session_attrs(),
            TargetSessionAttrs::ReadWrite
        );
        assert_eq!(config.get_load_balance_hosts(), LoadBalanceHosts::Random);
        assert_eq!(config.get_channel_binding(), ChannelBinding::Require);
        assert_eq!(config.get_dbname(), Some("d"));
        assert_eq!(config.get_ports(), [5433]);
        assert!(Address::parse("postgresql://h").is_ok());
        assert!(Address::parse("postgres:///d?host=%2Frun&user=u").is_ok());
    }

    /// The error names each parameter of libpq that is refused, and what to do instead.
    #[test]
    fn what_cannot_be_kept_is_refused_by_its_name() {
        for (parameter, named) in [
            ("sslmode=full", "sslmode"),
            ("sslmode=", "sslmode"),
            ("sslmode=REQUIRE", "sslmode"),
            ("ssl=true", "sslmode=require"),
            ("sslrootcert=system", "sslrootcert"),
            ("sslcert=/c", "sslcert"),
            ("sslkey=/k", "sslkey"),
            ("sslpassword=x", "sslpassword"),
            ("sslcrl=/c", "sslcrl"),
            ("sslnegotiation=direct", "sslnegotiation"),
            (
                "ssl_min_protocol_version=TLSv1.3",
                "ssl_min_protocol_version",
            ),
            (
                "ssl_max_protocol_version=TLSv1.2",
                "ssl_max_protocol_version",
            ),
            ("sslcompression=1", "sslcompression"),
            ("gssencmode=require", "DATABASE_SSLMODE"),
            ("require_auth=scram-sha-256", "require_auth"),
            ("requirepeer=postgres", "requirepeer"),
            ("passfile=/p", "DATABASE_URL=file:/path"),
            ("service=shop", "service"),
            ("replication=database", "replication"),
            ("application_name=me", "application_name"),
            ("client_encoding=LATIN1", "client_encoding"),
            ("target_session_attrs=standby", "target_session_attrs"),
            ("connect_timeout=soon", "connect_timeout"),
            ("tcp_user_timeout=soon", "milliseconds"),
            ("options=-c%20timezone=CET", "timezone"),
            ("options=-cstatement_timeout=0", "statement_timeout"),
            ("options=--lock-timeout=0", "lock_timeout"),
            ("invented=1", "invented"),
        ] {
            let error = with(parameter)
                .err()
                .unwrap_or_else(|| panic!("{parameter} is taken"));
            let said = said(&error);
            assert!(said.contains(named), "{parameter}: {said}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_shown() {
        for text in [
            "host=h user=u password=hunter2 sslmode=require",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2?sslmode=require@h/d",
            "postgres://u:hunter2@h/d?sslmode",
            "postgres://u:hunter2@h/d?%FF=1",
            "postgres://u:hunter2@h:port/d",
        ] {
            let error = Address::parse(text)
                .err()
                .unwrap_or_else(|| panic!("{text} is taken"));
            assert!(!said(&error).contains("hunter2"), "{}", said(&error));
        }
    }

    fn said(error: &dyn std::error::Error) -> String {
        let cause = error.source().map(said).unwrap_or_default();
        format!("{error}: {cause}")
    }
}
