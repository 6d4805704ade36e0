//! A walk through everything that can be done with files outside steps, with durable operations in between.

use durable::{BoxError, DurableContext};
use everstep_sdk as durable;
use serde_json::{Value, json};
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds from `from` to `to`.
fn apart(from: SystemTime, to: SystemTime) -> i128 {
    let nanos = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
    nanos(to) - nanos(from)
}

/// Every path below, sorted by the host, directories with a slash, files with their size.
pub(crate) fn tree(directory: &str) -> std::io::Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path().display().to_string();
        if entry.file_type()?.is_dir() {
            paths.push(format!("{path}/"));
            paths.extend(tree(&path)?);
        } else {
            paths.push(format!("{path} {}", entry.metadata()?.len()));
        }
    }
    Ok(paths)
}

/// The kind of error, or its number where std has no kind for it.
pub(crate) fn kind(error: &std::io::Error) -> String {
    match (format!("{:?}", error.kind()), error.raw_os_error()) {
        (kind, Some(number)) if kind == "Uncategorized" => format!("errno {number}"),
        (kind, _) => kind,
    }
}

async fn step(ctx: &DurableContext, name: &str) -> Result<(), BoxError> {
    Ok(ctx.step(|_| async { Ok(()) }).name(name).await?)
}

pub(crate) async fn walk(ctx: &DurableContext) -> Result<Value, BoxError> {
    let at_first = tree("/")?;
    let began = SystemTime::now();
    fs::create_dir_all("work/deep/er")?;
    fs::write("/work/log", "one\n")?;
    fs::write("work/deep/er/data", vec![7; 200_000])?;
    step(ctx, "first").await?;

    let mut log = OpenOptions::new().append(true).open("work/log")?;
    log.write_all(b"two\n")?;
    ctx.wait(Duration::from_secs(3_600)).name("an hour").await?;
    // The stream is older than the hour; what it writes is not.
    log.write_all(b"three\n")?;
    let waited = apart(fs::metadata("work/deep")?.modified()?, fs::metadata("work/log")?.modified()?);
    let read = fs::read_to_string("work/log")?;

    let mut data = File::options().read(true).write(true).open("work/deep/er/data")?;
    data.seek(SeekFrom::Start(65_530))?;
    data.write_all(&[1; 12])?;
    data.seek(SeekFrom::Current(-14))?;
    let mut around = [0; 16];
    data.read_exact(&mut around)?;
    step(ctx, "second").await?;
    data.set_len(100)?;
    data.seek(SeekFrom::Start(110))?;
    data.write_all(b"!")?;
    let mut rest = Vec::new();
    data.seek(SeekFrom::Start(98))?;
    data.read_to_end(&mut rest)?;
    data.sync_all()?;
    drop(data);

    let moment = UNIX_EPOCH + Duration::new(86_400, 5);
    File::options().write(true).open("work/log")?.set_times(FileTimes::new().set_modified(moment))?;
    let set = apart(UNIX_EPOCH, fs::metadata("work/log")?.modified()?);

    fs::rename("work/deep/er", "work/moved")?;
    fs::copy("work/log", "work/moved/copy")?;
    fs::rename("work/log", "work/moved/log")?;
    let renamed = tree("/")?;
    step(ctx, "third").await?;

    let refused: Vec<(&str, Option<std::io::Error>)> = vec![
        ("a file that is not there", fs::read("none").err()),
        ("a new file that is there", File::create_new("work/moved/log").err()),
        ("a directory that is there", fs::create_dir("work").err()),
        ("removing what is not empty", fs::remove_dir("work/moved").err()),
        ("removing a directory as a file", fs::remove_file("work/deep").err()),
        ("a file as a directory", fs::read_dir("work/moved/log").err()),
        ("a directory in itself", fs::rename("work", "work/deep/work").err()),
        ("a hard link", fs::hard_link("work/moved/log", "work/hard").err()),
        ("a path out", fs::read("../etc/passwd").err()),
        ("a long name", fs::write("n".repeat(256), "").err()),
    ];
    let refused: Vec<_> =
        refused.into_iter().map(|(what, error)| json!([what, error.map(|error| kind(&error))])).collect();

    // What was removed is there for whoever has it open.
    let mut held = File::open("work/moved/log")?;
    fs::remove_dir_all("work")?;
    let mut last = String::new();
    held.read_to_string(&mut last)?;
    let mut listed = Vec::new();
    for name in ["b", "a", "ä", "C"] {
        fs::write(name, name)?;
        listed = tree("/")?;
    }
    Ok(json!({
        "at_first": at_first,
        "waited_an_hour": waited >= 3_600_000_000_000,
        "made_now": apart(began, fs::metadata("a")?.created().unwrap_or(began)) >= 0,
        "read": read,
        "around": around,
        "rest": rest,
        "set": set as u64,
        "renamed": renamed,
        "refused": refused,
        "last": last,
        "listed": listed,
        "cwd": std::env::current_dir()?.display().to_string(),
        "canonical": fs::canonicalize("./a").map_or_else(|error| error.to_string(), |path| path.display().to_string()),
    }))
}
