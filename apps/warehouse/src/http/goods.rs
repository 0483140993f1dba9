use actix_web::{
    get, post, put,
    web::{Path, Query},
};
use kernel::{Money, Sku};
use serde::Deserialize;
use service_kit::{Answer, Call, Page, PageQuery, Responded, Role};
use utoipa::ToSchema;

use crate::{
    domain::goods::{check_price, check_quantity, parse_name},
    state::State,
    usecases::{
        list_goods::{list_goods, view_goods},
        list_movements::{ListMovements, MovementView, list_movements},
        put_goods::{GoodsView, PutGoods, PutView, put_goods},
        receive_goods::{ReceiptView, ReceiveGoods, receive_goods},
    },
};

/// All goods that are listed, by SKU.
#[utoipa::path(tag = "goods", params(PageQuery), responses((status = 200, body = Page<GoodsView>)))]
#[get("/api/goods")]
pub async fn list_goods_route(call: Call<State>, page: Query<PageQuery>) -> Responded {
    call.map(|_| page.into_inner())
        .run_in_transaction("warehouse.list_goods", list_goods, Answer::ok)
        .await
}

/// One kind of goods.
#[utoipa::path(
    tag = "goods",
    params(
        ("sku" = Sku, Path),
        (
            "If-None-Match" = Option<String>,
            Header,
            description = "The ETag of what you have; the answer is 304 if that is all",
        ),
    ),
    responses(
        (status = 200, body = GoodsView),
        (status = 304, description = "You have it"),
    )
)]
#[get("/api/goods/{sku}")]
pub async fn get_goods(call: Call<State>, sku: Path<Sku>) -> Responded {
    call.map(|_| sku.into_inner())
        .run_in_transaction("warehouse.view_goods", view_goods, |goods: &GoodsView| {
            Answer::ok(goods).etag(goods.version)
        })
        .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NameAndPrice {
    #[schema(example = "Green tea, 100 g", min_length = 1, max_length = 200)]
    name: String,
    /// Minor units.
    #[schema(value_type = i64, minimum = 1, maximum = 100_000_000_000_i64)]
    price: Money,
}

/// List goods, or give them another name or price; for managers. With If-Match only if they were
/// not changed meanwhile, with `If-None-Match: *` only if they are not listed yet.
#[utoipa::path(
    tag = "goods",
    params(
        ("sku" = Sku, Path),
        (
            "If-Match" = Option<String>,
            Header,
            description = "The ETag of what you have read",
        ),
        (
            "If-None-Match" = Option<String>,
            Header,
            description = "* for what is not there yet",
        ),
    ),
    request_body = NameAndPrice,
    security(("token" = [])),
    responses((status = 200, body = GoodsView), (status = 201, body = GoodsView))
)]
#[put("/api/goods/{sku}")]
pub async fn put_goods_route(call: Call<State, NameAndPrice>, sku: Path<Sku>) -> Responded {
    call.require(&[Role::Manager])?;
    let name = parse_name(&call.body.name)?;
    let price = check_price(call.body.price)?;
    let answer = |put: &PutView| {
        if put.is_new {
            Answer::created(format!("/api/goods/{}", put.goods.sku), &put.goods)
                .etag(put.goods.version)
        } else {
            Answer::ok(&put.goods).etag(put.goods.version)
        }
    };
    let preconditions = call.preconditions();
    call.map(|_| PutGoods {
        sku: sku.into_inner(),
        name,
        price,
        preconditions,
    })
    .run_in_transaction("warehouse.put_goods", put_goods, answer)
    .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Quantity {
    #[schema(minimum = 1, maximum = 1_000_000)]
    quantity: i64,
}

/// Goods came in; for managers.
#[utoipa::path(
    tag = "goods",
    params(("sku" = Sku, Path)),
    request_body = Quantity,
    security(("token" = [])),
    responses((status = 201, body = ReceiptView))
)]
#[post("/api/goods/{sku}/receipts")]
pub async fn post_receipt(call: Call<State, Quantity>, sku: Path<Sku>) -> Responded {
    call.require(&[Role::Manager])?;
    let quantity = check_quantity(call.body.quantity)?;
    let answer = |receipt: &ReceiptView| {
        Answer::created(format!("/api/goods/{}/movements", receipt.sku), receipt)
    };
    call.map(|_| ReceiveGoods {
        sku: sku.into_inner(),
        quantity,
    })
    .run_idempotent("warehouse.receive_goods", receive_goods, answer)
    .await
}

/// The pieces that came and went, the newest first; for managers.
#[utoipa::path(
    tag = "goods",
    params(("sku" = Sku, Path), PageQuery),
    security(("token" = [])),
    responses((status = 200, body = Page<MovementView>))
)]
#[get("/api/goods/{sku}/movements")]
pub async fn get_movements(call: Call<State>, sku: Path<Sku>, page: Query<PageQuery>) -> Responded {
    call.require(&[Role::Manager])?;
    call.map(|_| ListMovements {
        sku: sku.into_inner(),
        page: page.into_inner(),
    })
    .run_in_transaction("warehouse.list_movements", list_movements, Answer::ok)
    .await
}
