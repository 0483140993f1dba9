use anyhow::ensure;
use tovar::{database, store_file::StoreFile};

use crate::release::{NAME, Release, chart};

/// The migration that the next version adds; see `next-version`.
const VERSION: &str = "00000000000900";

/// Every pod to the next version, whose orders service has one more migration, and back to this one
/// on the newer tables.
pub async fn there_and_back(release: &Release, store: &StoreFile) -> anyhow::Result<()> {
    ensure!(
        !has_migration(store).await?,
        "the migration is there already"
    );
    let next = ["upgrade", NAME, &chart(), "--set", "global.image.tag=next"];
    release.helm(&next, true).await?;
    ensure!(image(release).await?.ends_with(":next"), "not upgraded");
    ensure!(has_migration(store).await?, "the upgrade did not migrate");
    release.step("  upgraded");

    release.helm(&["rollback", NAME, "1"], false).await?;
    ensure!(!image(release).await?.ends_with(":next"), "not rolled back");
    ensure!(
        has_migration(store).await?,
        "a rollback of pods is none of tables"
    );
    release.step("  rolled back");
    Ok(())
}

async fn image(release: &Release) -> anyhow::Result<String> {
    let path = "jsonpath={.spec.template.spec.containers[0].image}";
    release
        .kubectl
        .run(&["get", "deployment/tovar-orders", "--output", path])
        .await
}

async fn has_migration(store: &StoreFile) -> anyhow::Result<bool> {
    let reader = database::open(&store.readers["orders"]).await?;
    let found = reader
        .query_one(
            "SELECT EXISTS (SELECT FROM __diesel_schema_migrations WHERE version = $1)",
            &[&VERSION],
        )
        .await?;
    Ok(found.get(0))
}
