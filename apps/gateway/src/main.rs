use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use gateway::GatewaySettings;
use telemetry::Shutdown;

fn main() -> ExitCode {
    let settings = GatewaySettings::parse();
    telemetry::init(&settings.log);
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "ended");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(worker_threads = 2)]
async fn run(settings: GatewaySettings) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::listen(&settings.shutdown)?;
    let running = gateway::start(settings)
        .await
        .context("the gateway cannot start")?;
    shutdown.requested().await;
    running.stop().await;
    telemetry::traces::flush().await;
    Ok(())
}
