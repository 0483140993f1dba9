use std::process::ExitCode;

use clap::Parser;
use topics::TopicsSettings;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let settings = TopicsSettings::parse();
    telemetry::init(&settings.log);
    match topics::make(&settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "ended");
            ExitCode::FAILURE
        }
    }
}
