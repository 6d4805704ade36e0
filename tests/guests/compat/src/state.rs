//! What a workflow holds over a suspension, and what it takes from chance.

use crate::{now, tomorrow};
use everstep_sdk::{BoxError, DurableContext};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::{Duration, UNIX_EPOCH};
use uuid::Uuid;

fn modified(path: &str) -> Result<u64, BoxError> {
    Ok(u64::try_from(fs::metadata(path)?.modified()?.duration_since(UNIX_EPOCH)?.as_nanos())?)
}

fn listed(path: &str) -> Result<Vec<String>, BoxError> {
    let entries = fs::read_dir(path)?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// Written before the suspension, open across it, read after it; a body changes all of it in between.
pub(crate) async fn files(ctx: &DurableContext) -> Result<Value, BoxError> {
    fs::create_dir_all("work/deep")?;
    fs::write("work/log", "one\n")?;
    fs::write("work/deep/data", (0..100_000_u32).map(|at| (at % 251) as u8).collect::<Vec<_>>())?;
    fs::rename("work/deep/data", "work/data")?;
    let (mut log, mut data) = (File::options().append(true).open("work/log")?, File::open("work/data")?);
    log.write_all(b"two\n")?;
    let mut first = [0; 1_000];
    data.read_exact(&mut first)?;
    let in_body = ctx
        .step(|_| async {
            fs::write("work/log", "a body's")?;
            fs::remove_file("work/data")?;
            listed("work")
        })
        .name("change everything")
        .await?;
    let made = modified("work/data")?;
    tomorrow(ctx).await?;
    log.write_all(b"three\n")?;
    data.seek(SeekFrom::Current(50_000))?;
    let mut rest = Vec::new();
    data.read_to_end(&mut rest)?;
    Ok(json!({
        "in_body": in_body,
        "log": fs::read_to_string("work/log")?,
        "rest": rest.len(),
        "next": rest[0],
        "list": listed("work")?,
        "times": [made, modified("work/data")?, modified("work/log")?],
        "none": fs::read("nothing").map_err(|error| error.kind().to_string()).err(),
    }))
}

/// What is bundled, before and after, and in a body.
pub(crate) async fn bundle(ctx: &DurableContext) -> Result<Value, BoxError> {
    let mut open = File::open("/bundle/sub/letters")?;
    let mut two = [0; 2];
    open.read_exact(&mut two)?;
    let before = listed("/bundle")?;
    tomorrow(ctx).await?;
    let mut rest = String::new();
    open.read_to_string(&mut rest)?;
    let in_body = ctx.step(|_| async { Ok(fs::read("/bundle/numbers")?.len()) }).name("in a body").await?;
    let refused = fs::write("/bundle/new", "").map_err(|error| error.kind().to_string()).err();
    Ok(json!({"before": before, "after": listed("/bundle")?, "rest": rest, "in_body": in_body, "refused": refused}))
}

/// Clock, UUIDs, hash order, addresses and the bits of floats, in names, branches and results.
pub(crate) async fn chance(ctx: &DurableContext) -> Result<Value, BoxError> {
    let order = Uuid::new_v4();
    let prices: HashMap<String, u32> = (1..=12).map(|n| (format!("item {n}"), n * n)).collect();
    let mut total = 0;
    for (item, price) in prices.iter().take(5) {
        let name = format!("{item} {}", &order.to_string()[..8]);
        total += ctx
            .step({
                let price = *price;
                move |_| async move { Ok(price) }
            })
            .name(name)
            .await?;
    }
    let before = now()?;
    if before / 1_000 % 2 == u64::from(order.as_bytes()[0]) % 2 {
        ctx.wait(Duration::from_secs(1 + before % 60)).name("by chance").await?;
    }
    tomorrow(ctx).await?;
    let set: HashSet<u64> = (0..20).map(|n| n * u64::from(total)).collect();
    let kept = Box::new([order.as_u128(); 3]);
    let nan = black_box(f64::from_bits(0xfff4_0000_0000_0001)) * black_box(3.0);
    let floats = [nan, black_box(0.0) / black_box(-0.0), black_box(-1_f64).sqrt(), 2_f64.powf(0.5), 1e300_f64.sin()];
    Ok(json!({
        "order": order.to_string(),
        "other": Uuid::new_v4().to_string(),
        "keys": prices.keys().collect::<Vec<_>>(),
        "set": set.iter().collect::<Vec<_>>(),
        "total": total,
        "clock": [before, now()?],
        "address": (&raw const *kept).addr(),
        "floats": floats.map(f64::to_bits),
    }))
}
