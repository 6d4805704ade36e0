//! Sales from a CSV: parse it, load each region in a step of its own, add the regions up in a child context.

use durable::builders::{JitterStrategy, RetryStrategyConfig};
use everstep_sdk as durable;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// The text of a CSV with the columns `date,region,product,units,price`, bare or under `csv`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Object { csv: String },
}

#[derive(Deserialize, Clone)]
struct Sale {
    region: String,
    product: String,
    units: u64,
    price: f64,
}

#[derive(Serialize, Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Region {
    region: String,
    sales: usize,
    units: u64,
    revenue: f64,
    best_seller: String,
}

#[derive(Serialize, Deserialize)]
struct Totals {
    sales: usize,
    units: u64,
    revenue: f64,
}

#[derive(Serialize)]
struct Report {
    totals: Totals,
    regions: Vec<Region>,
}

async fn handler(input: Input, ctx: durable::DurableContext) -> Result<Report, durable::BoxError> {
    let (Input::Text(text) | Input::Object { csv: text }) = input;
    let mut by_region: HashMap<String, Vec<Sale>> = HashMap::new();
    for sale in csv::Reader::from_reader(text.as_bytes()).deserialize() {
        let sale: Sale = sale?;
        by_region.entry(sale.region.clone()).or_default().push(sale);
    }
    ctx.logger().with("regions", by_region.len()).info("parsed");

    // In the order of the hash map: random from one execution to another, the same on every replay of this one.
    let loads = by_region.into_iter().map(|(region, sales)| load(&ctx, region, sales));
    let mut regions = try_join_all(loads).await?;
    regions.sort_by(|a, b| a.region.cmp(&b.region));

    let loaded = regions.clone();
    let totals = ctx
        .run_in_child_context(move |ctx| async move {
            let units = loaded.iter().map(|region| region.units).sum();
            let revenue = ctx
                .step({
                    let cents: Vec<f64> = loaded.iter().map(|region| region.revenue).collect();
                    move |_| async move { Ok(in_cents(cents.iter().sum())) }
                })
                .name("revenue")
                .await?;
            Ok(Totals { sales: loaded.iter().map(|region| region.sales).sum(), units, revenue })
        })
        .name("totals")
        .await?;
    Ok(Report { totals, regions })
}

/// Fails the first time, as a warehouse does, and succeeds the second.
fn load(ctx: &durable::DurableContext, region: String, sales: Vec<Sale>) -> durable::DurableFuture<Region> {
    let name = format!("load-{}", region.to_lowercase());
    ctx.step(move |step| async move {
        if step.attempt() == 1 {
            return Err(format!("the warehouse has no room for {region} yet").into());
        }
        step.logger().with("region", &region).info("loaded");
        let best_seller = sales.iter().max_by_key(|sale| sale.units).map(|sale| sale.product.clone());
        Ok(Region {
            region,
            sales: sales.len(),
            units: sales.iter().map(|sale| sale.units).sum(),
            revenue: in_cents(sales.iter().map(|sale| sale.units as f64 * sale.price).sum()),
            best_seller: best_seller.unwrap_or_default(),
        })
    })
    .name(name)
    .retry_strategy_config(
        RetryStrategyConfig::builder()
            .max_attempts(3)
            .initial_delay(Duration::from_secs(1))
            .jitter(JitterStrategy::None)
            .build(),
    )
    .future()
}

fn in_cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

fn main() {
    durable::run(handler)
}
