use super::*;
use ErrorCode::*;

const NOW: Time = Time { seconds: 7, nanoseconds: 9 };
const READ: OpenAs = OpenAs { create: false, exclusive: false, directory: false, truncate: false, write: false };
const CREATE: OpenAs = OpenAs { create: true, write: true, ..READ };

/// A root with what the paths name: directories end with a slash, files contain their path.
fn tree(paths: &[&str]) -> Tree {
    let mut tree = Tree::new(1_000);
    for path in paths {
        match path.strip_suffix('/') {
            Some(directory) => _ = tree.create_directory(ROOT, directory, NOW).unwrap(),
            None => {
                let inode = tree.open(ROOT, path, CREATE, NOW).unwrap();
                tree.write(inode, 0, path.as_bytes(), NOW).unwrap();
            }
        }
    }
    tree
}

/// Every path below the root, sorted, directories with a slash, files with `=` and their content.
fn all(tree: &Tree) -> Vec<String> {
    fn below(tree: &Tree, directory: Inode, prefix: &str, all: &mut Vec<String>) {
        for (name, is_directory) in tree.list(directory).unwrap() {
            let inode = tree.find(directory, &name).unwrap();
            if is_directory {
                all.push(format!("{prefix}{name}/"));
                below(tree, inode, &format!("{prefix}{name}/"), all);
            } else {
                let content = tree.read(inode, 0, u64::MAX).unwrap();
                all.push(format!("{prefix}{name}={}", String::from_utf8_lossy(&content)));
            }
        }
    }
    let mut paths = Vec::new();
    below(tree, ROOT, "", &mut paths);
    paths
}

#[test]
fn paths_lead_down_from_where_they_start_and_nowhere_else() {
    let tree = tree(&["a/", "a/b/", "a/b/file", "top"]);
    let a = tree.find(ROOT, "a").unwrap();
    let file = tree.find(ROOT, "a/b/file").unwrap();
    for path in ["a//b/./file", "./a/b/../b/file", "a/b/../../a/b/file"] {
        assert_eq!(tree.find(ROOT, path), Ok(file), "{path}");
    }
    assert_eq!(tree.find(a, "b/file"), Ok(file));
    let long = "n".repeat(256);
    let deep = "./".repeat(2_049);
    for (base, path, error) in [
        (ROOT, "", NoEntry),
        (ROOT, "/", NotPermitted),
        (ROOT, "/a", NotPermitted),
        (ROOT, "..", NotPermitted),
        (ROOT, "a/../..", NotPermitted),
        (a, "..", NotPermitted),
        (a, "b/../../top", NotPermitted),
        (a, "../a", NotPermitted),
        (ROOT, "a/none/..", NoEntry),
        (ROOT, "top/", NotDirectory),
        (ROOT, "top/.", NotDirectory),
        (ROOT, "top/..", NotDirectory),
        (ROOT, "a/b/file/x", NotDirectory),
        (ROOT, "a\0", Invalid),
        (ROOT, &long, NameTooLong),
        (ROOT, &deep, NameTooLong),
    ] {
        assert_eq!(tree.find(base, path), Err(error), "{path}");
    }
}

#[test]
fn opening_makes_empties_and_refuses_as_it_is_told() {
    let mut tree = tree(&["d/", "file"]);
    let file = tree.find(ROOT, "file").unwrap();
    let mut open = |path: &str, how: OpenAs| tree.open(ROOT, path, how, NOW);
    assert_eq!(open("file", READ), Ok(file));
    assert_eq!(open("file", CREATE), Ok(file));
    assert_eq!(open("file", OpenAs { exclusive: true, ..CREATE }), Err(Exist));
    assert_eq!(open("file", OpenAs { directory: true, ..READ }), Err(NotDirectory));
    assert_eq!(open("d", OpenAs { write: true, ..READ }), Err(IsDirectory));
    assert_eq!(open("d", OpenAs { truncate: true, ..READ }), Err(IsDirectory));
    assert_eq!(open("d", OpenAs { directory: true, ..CREATE }), Err(Invalid));
    assert_eq!(open("none", READ), Err(NoEntry));
    assert_eq!(open("none/", CREATE), Err(IsDirectory));
    assert_eq!(open("none/x", CREATE), Err(NoEntry));
    assert_eq!(open("file/x", CREATE), Err(NotDirectory));
    assert_eq!(open("file", OpenAs { truncate: true, write: true, ..READ }), Ok(file));
    assert!(open("d/new", CREATE).is_ok());
    assert_eq!(all(&tree), ["d/", "d/new=", "file="]);
}

#[test]
fn names_are_given_changed_and_taken() {
    let start = ["a/", "a/x", "b/", "b/y", "empty/", "file"];
    // What is done, and the tree then or why not.
    type Step = fn(&mut Tree) -> Result<(), ErrorCode>;
    /// What there is afterwards, or the refusal.
    type Then<'a> = Result<&'a [&'a str], ErrorCode>;
    let rename = |old, new| move |tree: &mut Tree| tree.rename((ROOT, old), (ROOT, new), NOW);
    let check =
        |what: &str, step: &dyn Fn(&mut Tree) -> Result<(), ErrorCode>, expected: Result<&[&str], ErrorCode>| {
            let mut tree = tree(&start);
            let before = all(&tree);
            match (step(&mut tree), expected) {
                (Ok(()), Ok(expected)) => assert_eq!(all(&tree), expected, "{what}"),
                (Err(error), Err(expected)) => {
                    assert_eq!(error, expected, "{what}");
                    assert_eq!(all(&tree), before, "{what} changed something");
                }
                other => panic!("{what}: {other:?}"),
            }
        };
    let unchanged = ["a/", "a/x=a/x", "b/", "b/y=b/y", "empty/", "file=file"];
    let moves: [(&str, &str, Then<'_>); 15] = [
        ("file", "new", Ok(&["a/", "a/x=a/x", "b/", "b/y=b/y", "empty/", "new=file"])),
        ("file", "a/x", Ok(&["a/", "a/x=file", "b/", "b/y=b/y", "empty/"])),
        ("file", "file", Ok(&unchanged)),
        ("a", "empty", Ok(&["b/", "b/y=b/y", "empty/", "empty/x=a/x", "file=file"])),
        ("a/", "b/a/", Ok(&["b/", "b/a/", "b/a/x=a/x", "b/y=b/y", "empty/", "file=file"])),
        ("a", "b", Err(NotEmpty)),
        ("a", "file", Err(NotDirectory)),
        ("file", "a", Err(IsDirectory)),
        ("file", "new/", Err(NotDirectory)),
        ("a", "a/x/y", Err(NotDirectory)),
        ("a", "a/y", Err(Invalid)),
        ("none", "new", Err(NoEntry)),
        (".", "new", Err(Invalid)),
        ("a", "b/..", Err(Invalid)),
        ("a", "../a", Err(NotPermitted)),
    ];
    for (old, new, expected) in moves {
        check(&format!("{old} to {new}"), &rename(old, new), expected);
    }
    let steps: [(&str, Step, Then<'_>); 10] = [
        ("unlink", |tree| tree.unlink(ROOT, "a/x", NOW), Ok(&["a/", "b/", "b/y=b/y", "empty/", "file=file"])),
        ("unlink a directory", |tree| tree.unlink(ROOT, "empty", NOW), Err(IsDirectory)),
        ("unlink with a slash", |tree| tree.unlink(ROOT, "file/", NOW), Err(NotDirectory)),
        (
            "rmdir",
            |tree| tree.remove_directory(ROOT, "empty/", NOW),
            Ok(&["a/", "a/x=a/x", "b/", "b/y=b/y", "file=file"]),
        ),
        ("rmdir of a file", |tree| tree.remove_directory(ROOT, "file", NOW), Err(NotDirectory)),
        ("rmdir of what is not empty", |tree| tree.remove_directory(ROOT, "a", NOW), Err(NotEmpty)),
        ("rmdir of .", |tree| tree.remove_directory(ROOT, "a/.", NOW), Err(Invalid)),
        ("mkdir of what is there", |tree| tree.create_directory(ROOT, "a", NOW).map(drop), Err(Exist)),
        ("mkdir of a file that is there", |tree| tree.create_directory(ROOT, "file/", NOW).map(drop), Err(Exist)),
        ("mkdir nowhere", |tree| tree.create_directory(ROOT, "none/x", NOW).map(drop), Err(NoEntry)),
    ];
    for (what, step, expected) in steps {
        check(what, &step, expected);
    }
}

#[test]
fn what_is_open_outlives_its_name_and_is_charged_until_it_is_closed() {
    let mut tree = tree(&["d/"]);
    let file = tree.open(ROOT, "file", CREATE, NOW).unwrap();
    tree.opened(file);
    tree.opened(file);
    tree.write(file, 0, &[1; 600], NOW).unwrap();
    tree.unlink(ROOT, "file", NOW).unwrap();
    assert!(!tree.stat(file).unwrap().linked);
    let other = tree.open(ROOT, "other", CREATE, NOW).unwrap();
    assert_eq!(tree.write(other, 0, &[2; 401], NOW), Err(InsufficientSpace));
    tree.closed(file);
    assert_eq!(tree.read(file, 599, 9).unwrap()[..], [1]);
    tree.closed(file);
    assert_eq!(tree.stat(file), Err(NoEntry));
    tree.write(other, 0, &[2; 401], NOW).unwrap();

    let directory = tree.find(ROOT, "d").unwrap();
    tree.opened(directory);
    tree.remove_directory(ROOT, "d", NOW).unwrap();
    assert_eq!(tree.open(directory, "x", CREATE, NOW), Err(NoEntry));
    assert_eq!(tree.rename((ROOT, "other"), (directory, "x"), NOW), Err(NoEntry));
}

#[test]
fn bytes_and_files_are_bounded_and_refusals_change_nothing() {
    let mut full = tree(&[]);
    let file = full.open(ROOT, "file", CREATE, NOW).unwrap();
    full.write(file, 0, &[1; 1_000], NOW).unwrap();
    for refused in [
        full.write(file, 1_000, &[2], NOW),
        full.write(file, 500, &[2; 501], NOW),
        full.set_size(file, 1_001, NOW),
        full.write(file, u64::MAX - 1, &[2; 1], NOW),
    ] {
        assert_eq!(refused, Err(InsufficientSpace));
    }
    assert_eq!(full.write(file, u64::MAX, &[2; 1], NOW), Err(FileTooLarge));
    assert_eq!(full.read(file, 0, u64::MAX).unwrap(), [1; 1_000][..]);
    full.write(file, 999, &[3], NOW).unwrap();
    full.set_size(file, 10, NOW).unwrap();
    full.set_size(file, 1_000, NOW).unwrap();
    assert_eq!(full.read(file, 8, 4).unwrap()[..], [1, 1, 0, 0]);

    let mut many = tree(&[]);
    for number in 0..MAX_FILES {
        many.create_directory(ROOT, &number.to_string(), NOW).unwrap();
    }
    assert_eq!(many.create_directory(ROOT, "more", NOW), Err(InsufficientSpace));
    assert_eq!(many.open(ROOT, "more", CREATE, NOW), Err(InsufficientSpace));
    many.remove_directory(ROOT, "77", NOW).unwrap();
    assert!(many.open(ROOT, "more", CREATE, NOW).is_ok());
}

#[test]
fn what_is_frozen_can_be_read_and_nothing_else_and_costs_nothing() {
    let mut tree = tree(&["a/", "a/x"]);
    tree.freeze();
    let (a, x) = (tree.find(ROOT, "a").unwrap(), tree.find(ROOT, "a/x").unwrap());
    let before = all(&tree);
    let write = OpenAs { write: true, ..READ };
    for refused in [
        tree.open(ROOT, "a/x", write, NOW).map(drop),
        tree.open(ROOT, "a/x", OpenAs { truncate: true, ..READ }, NOW).map(drop),
        tree.open(ROOT, "a/new", CREATE, NOW).map(drop),
        tree.create_directory(a, "new", NOW).map(drop),
        tree.unlink(a, "x", NOW),
        tree.remove_directory(ROOT, "a", NOW),
        tree.rename((ROOT, "a"), (ROOT, "b"), NOW),
        tree.rename((ROOT, "a/x"), (ROOT, "x"), NOW),
        tree.write(x, 0, b"!", NOW),
        tree.set_size(x, 0, NOW),
        tree.set_times(x, Some(NOW), None, NOW),
    ] {
        assert_eq!(refused, Err(ReadOnly));
    }
    let own = tree.open(ROOT, "own", CREATE, NOW).unwrap();
    assert_eq!(tree.rename((ROOT, "own"), (a, "x"), NOW), Err(ReadOnly));
    tree.write(own, 0, &[b'o'; 1_000], NOW).unwrap();
    tree.unlink(ROOT, "own", NOW).unwrap();
    assert_eq!(all(&tree), before);
}

#[test]
fn times_are_those_of_the_calls() {
    let mut tree = tree(&["d/", "file"]);
    let later = |seconds| Time { seconds, nanoseconds: 0 };
    let (d, file) = (tree.find(ROOT, "d").unwrap(), tree.find(ROOT, "file").unwrap());
    tree.write(file, 0, b"x", later(10)).unwrap();
    tree.rename((ROOT, "file"), (d, "file"), later(11)).unwrap();
    let stat = tree.stat(file).unwrap();
    assert_eq!((stat.accessed, stat.modified, stat.changed), (NOW, later(10), later(11)));
    assert_eq!(tree.stat(d).unwrap().modified, later(11));
    tree.set_times(file, Some(later(1)), None, later(12)).unwrap();
    let stat = tree.stat(file).unwrap();
    assert_eq!((stat.accessed, stat.modified, stat.changed), (later(1), later(10), later(12)));
}

/// What a body is given: a copy that nothing comes back from.
#[test]
fn a_copy_is_a_world_of_its_own() {
    let mut tree = tree(&["a/", "a/x", "file"]);
    let (before, shown) = (tree.clone(), all(&tree));
    tree.unlink(ROOT, "a/x", NOW).unwrap();
    tree.rename((ROOT, "file"), (ROOT, "a/file"), NOW).unwrap();
    let file = tree.find(ROOT, "a/file").unwrap();
    tree.write(file, 2, b"changed", NOW).unwrap();
    let made = tree.open(ROOT, "new", CREATE, NOW).unwrap();
    assert_eq!(all(&before), shown);
    let mut again = before.clone();
    assert_eq!(again.open(ROOT, "other", CREATE, NOW), Ok(made), "inode numbers go back as well");
}
