use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter,
    fmt::{MakeWriter, format::JsonFields},
};

use crate::json::FlatJson;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Log")]
pub struct LogSettings {
    /// What is logged, as error, warn, info, debug or trace, also by module: info,inbox=debug
    #[arg(
        long,
        env = "LOG",
        default_value = "info,librdkafka=error,actix_server=warn"
    )]
    pub log: String,

    /// JSON lines for programs, text for a person; auto is text on a terminal
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum LogFormat {
    Auto,
    Json,
    Text,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            log: "info,librdkafka=error,actix_server=warn".to_owned(),
            log_format: LogFormat::Auto,
        }
    }
}

/// Starts the log on standard error. The first call in a process wins; later ones change nothing.
pub fn init(settings: &LogSettings) {
    writing_to(settings, io::stderr);
}

/// Starts the log on this writer, as [`init`] does on standard error.
pub fn writing_to(
    settings: &LogSettings,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) {
    let filter = EnvFilter::try_new(&settings.log).unwrap_or_else(|error| {
        eprintln!(
            "LOG={:?} cannot be read ({error}); logging at info",
            settings.log
        );
        EnvFilter::new("info")
    });
    let json = match settings.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    // A second call finds a subscriber in place, which is what the doc comment promises.
    let _already_there = if json {
        builder
            .fmt_fields(JsonFields::new())
            .event_format(FlatJson)
            .try_init()
    } else {
        builder
            .compact()
            .with_ansi(io::stderr().is_terminal())
            .try_init()
    };
}
