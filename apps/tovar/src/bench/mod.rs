//! `cargo tovar bench`: what the running store does, measured.

mod memory;
mod orders;

use clap::Subcommand;

use crate::store_file::StoreArgs;

#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Print JSON instead of a table
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum What {
    /// Locker orders, one after the other on an otherwise idle store: the time of the request, and from placed to delivered
    Orders {
        /// Orders to place, after five that do not count
        #[arg(long, default_value_t = 100)]
        count: u32,
    },
    /// Resident memory of every process of the store
    Memory,
}

pub async fn bench(args: BenchArgs) -> anyhow::Result<()> {
    let store = args.store.read()?;
    let measured = match args.what {
        What::Orders { count } => orders::measure(&store, count).await?,
        What::Memory => memory::measure(&store)?,
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        for (name, value) in measured.as_object().into_iter().flatten() {
            println!("{name:<34}{value:>12}");
        }
    }
    Ok(())
}
