use std::process::ExitCode;

use clap::Parser;
use outbox_relay::RelaySettings;
use telemetry::Shutdown;

fn main() -> ExitCode {
    let settings = RelaySettings::parse();
    telemetry::init(&settings.log);
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "ended");
            ExitCode::FAILURE
        }
    }
}

// One thread reads the database; Kafka's client has threads of its own.
#[tokio::main(flavor = "current_thread")]
async fn run(settings: RelaySettings) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::listen(&settings.shutdown)?;
    let mut running = outbox_relay::start(settings).await?;
    let outcome = tokio::select! {
        () = shutdown.requested() => running.stop().await,
        ended = running.ended() => ended,
    };
    telemetry::traces::flush().await;
    outcome
}
