use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tovar::{bench, connect, demo, images, load, operations, order, prove, up, verify};

/// Run and operate the store.
#[derive(Parser)]
#[command(name = "cargo tovar", bin_name = "cargo tovar", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole store: PostgreSQL, Kafka, six services with their relays, and the gateway
    Up(up::UpArgs),
    /// Place orders that end in every way, show their timelines, and check what each must end in
    Demo(demo::DemoArgs),
    /// Check the nine invariants over all databases while the store runs: exit code 0 clean, 1 a
    /// violation, 2 could not check, 3 not settled yet
    Verify(verify::VerifyArgs),
    /// Show an order across all services: where it is, what it waits for, and what an operator can
    /// do
    Order(order::OrderArgs),
    /// Look at what was not sent, and act on it
    #[command(subcommand)]
    Outbox(operations::outbox::OutboxCommand),
    /// Look at what was not applied, and act on it
    #[command(subcommand)]
    Inbox(operations::inbox::InboxCommand),
    /// Show the keys by which access tokens are signed, or revoke one
    Keys(operations::keys::KeysArgs),
    /// Reach a store in a Kubernetes cluster from here: forwards, and a store file for the other
    /// commands
    Connect(connect::ConnectArgs),
    /// Print the SQL by which an administrator makes the roles of a service's database; to be run
    /// in that database
    Roles,
    /// Build an image of each program, and bring them to where they are to run
    Images(images::ImagesArgs),
    /// Have people use the running store for a minute, compare what they were told with what is
    /// there, and write a report: exit code 0 all is well, 1 a difference or violation, 2 could not
    /// load or check, 3 not settled yet
    Load(load::LoadArgs),
    /// Put the outbox, its relay and the inbox through faults
    #[command(subcommand)]
    Prove(prove::ProveCommand),
    /// Measure a running store, or outbox and inbox on servers of their own
    Bench(bench::BenchArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(args) => up::up(args).await,
        Command::Demo(args) => demo::demo(args).await,
        Command::Verify(args) => return verify::verify(args).await,
        Command::Order(args) => order::order(args).await,
        Command::Outbox(command) => match operations::outbox::run(command).await {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Inbox(command) => operations::inbox::run(command).await,
        Command::Keys(args) => operations::keys::run(args).await,
        Command::Connect(args) => connect::connect(args).await,
        Command::Roles => {
            print!("{}", ::connect::ROLES_SQL);
            Ok(())
        }
        Command::Images(args) => images::images(args).await,
        Command::Load(args) => return load::load(args).await,
        Command::Prove(command) => return prove::prove(command).await,
        Command::Bench(args) => bench::bench(args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
