use actix_web::{
    get, post, put,
    web::{Path, Query},
};
use contracts::delivery::Handover;
use kernel::{Timestamp, Zone};
use serde::Deserialize;
use service_kit::{Answer, Call, Page, PageQuery, Responded, Role};
use utoipa::ToSchema;

use crate::{
    state::State,
    usecases::{
        add_slot::{AddSlot, SlotView, add_slot},
        list_slots::{ListSlots, list_slots},
        list_zones::list_zones,
        put_zone::{PutView, PutZone, ZoneView, put_zone},
    },
};

/// The zones that are served, by name.
#[utoipa::path(tag = "zones", params(PageQuery), responses((status = 200, body = Page<ZoneView>)))]
#[get("/api/zones")]
pub async fn get_zones(call: Call<State>, page: Query<PageQuery>) -> Responded {
    call.map(|_| page.into_inner())
        .run_in_transaction("delivery.list_zones", list_zones, Answer::ok)
        .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HowServed {
    /// `locker`: a parcel locker takes a parcel at once; `courier`: a courier reports the outcome.
    #[schema(value_type = String, pattern = "^(locker|courier)$")]
    handover: Handover,
}

/// Serve a zone, or serve it in another way; for managers. With `If-None-Match: *` only if it is
/// not served yet.
#[utoipa::path(
    tag = "zones",
    params(
        ("zone" = Zone, Path),
        (
            "If-None-Match" = Option<String>,
            Header,
            description = "* for what is not there yet",
        ),
    ),
    request_body = HowServed,
    security(("token" = [])),
    responses((status = 200, body = ZoneView), (status = 201, body = ZoneView))
)]
#[put("/api/zones/{zone}")]
pub async fn put_zone_route(call: Call<State, HowServed>, zone: Path<Zone>) -> Responded {
    call.require(&[Role::Manager])?;
    let answer = |put: &PutView| {
        if put.is_new {
            Answer::created(format!("/api/zones/{}/slots", put.zone.zone), &put.zone)
        } else {
            Answer::ok(&put.zone)
        }
    };
    let preconditions = call.preconditions();
    call.map(|body| PutZone {
        zone: zone.into_inner(),
        handover: body.handover,
        preconditions,
    })
    .run_in_transaction("delivery.put_zone", put_zone, answer)
    .await
}

/// The slots of a zone that have not ended, the earliest first.
#[utoipa::path(
    tag = "zones",
    params(("zone" = Zone, Path), PageQuery),
    responses((status = 200, body = Page<SlotView>))
)]
#[get("/api/zones/{zone}/slots")]
pub async fn get_slots(call: Call<State>, zone: Path<Zone>, page: Query<PageQuery>) -> Responded {
    call.map(|_| ListSlots {
        zone: zone.into_inner(),
        page: page.into_inner(),
    })
    .run_in_transaction("delivery.list_slots", list_slots, Answer::ok)
    .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSlot {
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[schema(minimum = 1, maximum = 100_000)]
    capacity: i64,
}

/// Add a time slot to a zone; for managers.
#[utoipa::path(
    tag = "zones",
    params(("zone" = Zone, Path)),
    request_body = NewSlot,
    security(("token" = [])),
    responses((status = 201, body = SlotView))
)]
#[post("/api/zones/{zone}/slots")]
pub async fn post_slot(call: Call<State, NewSlot>, zone: Path<Zone>) -> Responded {
    call.require(&[Role::Manager])?;
    let answer = |slot: &SlotView| Answer::created(format!("/api/zones/{}/slots", slot.zone), slot);
    call.map(|body| AddSlot {
        zone: zone.into_inner(),
        starts_at: body.starts_at.get(),
        ends_at: body.ends_at.get(),
        capacity: body.capacity,
    })
    .run_idempotent("delivery.add_slot", add_slot, answer)
    .await
}
