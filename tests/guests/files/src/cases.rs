//! What is special about files in a workflow.

use crate::world::{kind, tree};
use durable::{BoxError, DurableContext, RetryDecision};
use everstep_sdk as durable;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

/// A body changes everything it can reach, and nothing is left of it.
pub(crate) async fn overlay(ctx: &DurableContext) -> Result<Value, BoxError> {
    fs::create_dir("dir")?;
    fs::write("dir/kept", "kept")?;
    fs::write("removed", "removed")?;
    fs::write("file", "0123456789")?;
    let mut reading = File::open("file")?;
    let mut writing = OpenOptions::new().write(true).open("file")?;
    let (mut first, mut second) = ([0; 4], String::new());
    reading.read_exact(&mut first)?;
    writing.write_all(b"ab")?;
    let modified = fs::metadata("file")?.modified()?;

    let (mut reader, mut writer) = (reading.try_clone_here(), writing.try_clone_here());
    let in_body = ctx
        .step(move |_| {
            let body = (|| -> Result<Value, BoxError> {
                // Not to the end in one call: that would seek, and with that open another stream.
                let mut rest = [0; 6];
                reader.read_exact(&mut rest)?;
                let rest = String::from_utf8_lossy(&rest);
                writer.write_all(b"XY")?;
                fs::remove_file("removed")?;
                fs::rename("dir/kept", "dir/renamed")?;
                fs::write("made", "made")?;
                fs::write("dir/renamed", "changed")?;
                Ok(json!({ "rest": rest, "file": fs::read_to_string("file")?, "tree": tree("/")? }))
            })();
            std::future::ready(body)
        })
        .name("change everything")
        .await?;

    reading.read_to_string(&mut second)?;
    writing.write_all(b"cd")?;
    Ok(json!({
        "in_body": in_body,
        "rest": second,
        "file": fs::read_to_string("file")?,
        "kept": fs::read_to_string("dir/kept")?,
        "tree": tree("/")?,
        "untouched": modified <= fs::metadata("file")?.modified()?,
    }))
}

/// The same open file under another owner, without opening anything: a body borrows what workflow code has open.
trait Borrowed {
    fn try_clone_here(&self) -> std::mem::ManuallyDrop<File>;
}

impl Borrowed for File {
    fn try_clone_here(&self) -> std::mem::ManuallyDrop<File> {
        use std::os::fd::{AsRawFd, FromRawFd};
        // SAFETY: the descriptor stays open for as long as the workflow's own `File`, and is never closed here.
        std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(self.as_raw_fd()) })
    }
}

/// The first file ever is touched in a step, the second outside after it.
pub(crate) async fn first_in_step(ctx: &DurableContext) -> Result<Value, BoxError> {
    let body = |_| async {
        fs::write("scratch", "in the body")?;
        Ok((fs::read_to_string("scratch")?, tree("/")?))
    };
    let seen = ctx.step(body).name("first").await?;
    let between = tree("/")?;
    fs::write("own", "outside")?;
    let again = ctx.step(body).name("second").await?;
    Ok(json!({ "seen": seen, "between": between, "again": again, "after": tree("/")? }))
}

fn attempt(result: Result<Value, impl std::fmt::Display>) -> Value {
    result.unwrap_or_else(|error| json!({ "error": error.to_string() }))
}

/// Workflow code opens a file, a body is the first to read from it.
pub(crate) async fn late_read(ctx: &DurableContext) -> Result<Value, BoxError> {
    fs::write("file", "0123456789")?;
    let mut file = File::open("file")?;
    let mut borrowed = file.try_clone_here();
    let step = ctx.step(move |_| {
        let mut text = String::new();
        let read = borrowed.read_to_string(&mut text).map(|_| text);
        std::future::ready(read.map_err(BoxError::from))
    });
    let seen = step.name("read").retry_strategy(|_, _| RetryDecision::Stop).await;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(json!([attempt(seen.map(Value::from)), text]))
}

/// A body leaves a file open.
pub(crate) async fn leak(ctx: &DurableContext) -> Result<Value, BoxError> {
    fs::write("file", "0123456789")?;
    let step = ctx.step(|_| async {
        std::mem::forget(File::open("file")?);
        Ok(())
    });
    Ok(attempt(step.name("leak").retry_strategy(|_, _| RetryDecision::Stop).await.map(Value::from)))
}

/// A body takes a stream away that workflow code had, and makes another in its place.
pub(crate) async fn closes_what_it_was_given(ctx: &DurableContext) -> Result<Value, BoxError> {
    fs::write("file", "0123456789")?;
    let mut file = File::open("file")?;
    let mut four = [0; 4];
    file.read_exact(&mut four)?;
    let mut borrowed = file.try_clone_here();
    let step = ctx.step(move |_| {
        let body = (|| -> Result<(), BoxError> {
            borrowed.seek(SeekFrom::Start(1))?;
            Ok(borrowed.read_exact(&mut [0; 4])?)
        })();
        std::future::ready(body)
    });
    let seen = step.name("seek").retry_strategy(|_, _| RetryDecision::Stop).await;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(json!([attempt(seen.map(Value::from)), text]))
}

/// Does one thing to a path: the kind of error, or what it saw.
fn try_it(what: &str, path: &str) -> Value {
    let seen = match what {
        "read" => fs::read_to_string(path).map(Value::from),
        "write" => fs::write(path, "written").map(|()| Value::Null),
        "append" => {
            let file = OpenOptions::new().append(true).open(path);
            file.and_then(|mut file| file.write_all(b"+appended")).map(|()| Value::Null)
        }
        "list" => tree(path).map(Value::from),
        "mkdir" => fs::create_dir(path).map(|()| Value::Null),
        "rmdir" => fs::remove_dir(path).map(|()| Value::Null),
        "remove" => fs::remove_file(path).map(|()| Value::Null),
        "rename" => fs::rename(path, format!("{path}.renamed")).map(|()| Value::Null),
        "here" => fs::rename(path, "/here").map(|()| Value::Null),
        "stat" => fs::metadata(path).map(|metadata| metadata.len().into()),
        _ => Err(std::io::Error::other("nothing that can be tried")),
    };
    seen.unwrap_or_else(|error| json!({ "error": kind(&error) }))
}

fn try_all(tries: &[(String, String)]) -> Vec<Value> {
    tries.iter().map(|(what, path)| try_it(what, path)).collect()
}

/// Tries outside steps, and again after a wait.
pub(crate) async fn outside(ctx: &DurableContext, tries: &[(String, String)]) -> Result<Value, BoxError> {
    let before = try_all(tries);
    ctx.wait(Duration::from_secs(60)).name("a minute").await?;
    Ok(json!([before, try_all(tries)]))
}

/// Tries in a step, and again in another after a wait.
pub(crate) async fn inside(ctx: &DurableContext, tries: Vec<(String, String)>) -> Result<Value, BoxError> {
    let again = tries.clone();
    let before = ctx.step(move |_| async move { Ok(try_all(&tries)) }).name("before").await?;
    ctx.wait(Duration::from_secs(60)).name("a minute").await?;
    let after = ctx.step(move |_| async move { Ok(try_all(&again)) }).name("after").await?;
    Ok(json!([before, after]))
}

/// Writes until there is no more room, makes room and goes on.
pub(crate) fn bounds() -> Result<Value, BoxError> {
    let chunk = vec![1; 64 << 10];
    let mut file = File::create("large")?;
    let mut written = 0;
    let error = loop {
        match file.write_all(&chunk) {
            Ok(()) => written += chunk.len(),
            Err(error) => break kind(&error),
        }
    };
    let full = fs::metadata("large")?.len();
    let sparse = file.set_len(1 << 40).err().map(|error| kind(&error));
    drop(file);
    fs::remove_file("large")?;
    fs::write("small", &chunk)?;
    let hole = File::create("hole")?;
    hole.set_len(512 << 10)?;
    Ok(json!({
        "written": written, "full": full, "error": error, "sparse": sparse, "small": fs::metadata("small")?.len(),
        "hole": fs::read("hole")?.iter().all(|&byte| byte == 0),
    }))
}

/// Opens files until there are no more handles, and goes on with fewer.
pub(crate) fn handles() -> Result<Value, BoxError> {
    fs::write("file", "content")?;
    let mut open = Vec::new();
    let error = loop {
        match File::open("file") {
            Ok(file) => open.push(file),
            Err(error) => break kind(&error),
        }
    };
    let count = open.len();
    open.truncate(10);
    Ok(json!({ "count": count, "error": error, "read": fs::read_to_string("file")? }))
}
