use contracts::delivery::Handover;
use db::{DbError, Tx, UnknownValue};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::Zone;

use super::schema::zones;

pub const fn to_text(handover: Handover) -> &'static str {
    match handover {
        Handover::Locker => "locker",
        Handover::Courier => "courier",
    }
}

pub fn from_text(text: &str) -> Result<Handover, UnknownValue> {
    let handover = [Handover::Locker, Handover::Courier]
        .into_iter()
        .find(|handover| to_text(*handover) == text);
    UnknownValue::or(handover, "the handover of a zone", text)
}

/// How the parcels of a zone are handed over; `None` if the zone is not served.
pub async fn handover(tx: &mut Tx<'_>, zone: &Zone) -> Result<Option<Handover>, DbError> {
    let found: Option<String> = zones::table
        .find(zone)
        .select(zones::handover)
        .first(&mut **tx)
        .await
        .optional()?;
    Ok(found.as_deref().map(from_text).transpose()?)
}

/// Serves a zone with this handover. `false` if it is served already.
pub async fn add(tx: &mut Tx<'_>, zone: &Zone, handover: Handover) -> Result<bool, DbError> {
    let new = (zones::zone.eq(zone), zones::handover.eq(to_text(handover)));
    let added = diesel::insert_into(zones::table)
        .values(new)
        .on_conflict_do_nothing()
        .execute(&mut **tx)
        .await?;
    Ok(added == 1)
}

/// Gives a zone that is served another handover.
pub async fn change(tx: &mut Tx<'_>, zone: &Zone, handover: Handover) -> Result<(), DbError> {
    let changed = diesel::update(zones::table.find(zone))
        .set(zones::handover.eq(to_text(handover)))
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("changing a zone", 1, changed)
}

/// Zones with a name beyond `after`, by name.
pub async fn after(
    tx: &mut Tx<'_>,
    after: Option<Zone>,
    limit: i64,
) -> Result<Vec<(Zone, Handover)>, DbError> {
    let mut served = zones::table.into_boxed();
    if let Some(after) = after {
        served = served.filter(zones::zone.gt(after));
    }
    let rows: Vec<(Zone, String)> = served
        .order(zones::zone)
        .limit(limit)
        .load(&mut **tx)
        .await?;
    let known = rows
        .into_iter()
        .map(|(zone, handover)| Ok((zone, from_text(&handover)?)));
    known.collect()
}
