//! Two texts, line by line.

/// Lines of the same around a difference that are shown.
const AROUND: usize = 3;
/// Beyond so many pairs of lines, everything between the same beginning and the same end is shown as different.
const MOST: usize = 4_000_000;

/// What has to be taken away from the expected lines (`-`) and put there (`+`) to get those that were found.
pub(crate) fn lines(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let same = |(one, other): &(&&str, &&str)| one == other;
    let before = expected.iter().zip(&found).take_while(same).count();
    let left = expected.len().min(found.len()) - before;
    let after = expected.iter().rev().zip(found.iter().rev()).take(left).take_while(same).count();
    let (old, new) = (&expected[before..expected.len() - after], &found[before..found.len() - after]);
    let mut marked: Vec<(char, &str)> = expected[..before].iter().map(|line| (' ', *line)).collect();
    marked.extend(middle(old, new));
    marked.extend(expected[expected.len() - after..].iter().map(|line| (' ', *line)));

    let changes: Vec<usize> = (0..marked.len()).filter(|index| marked[*index].0 != ' ').collect();
    let near = |index: usize| {
        let next = changes.partition_point(|change| *change < index.saturating_sub(AROUND));
        changes.get(next).is_some_and(|change| *change <= index + AROUND)
    };
    let mut out = String::new();
    let mut left_out = false;
    for (index, (mark, line)) in marked.iter().enumerate() {
        if near(index) {
            out += format!("  {mark} {line}").trim_end();
            out.push('\n');
        } else if !left_out {
            out += "    ...\n";
        }
        left_out = !near(index);
    }
    out
}

/// By the longest common subsequence.
fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    if old.len().saturating_mul(new.len()) > MOST {
        return old.iter().map(|line| ('-', *line)).chain(new.iter().map(|line| ('+', *line))).collect();
    }
    let width = new.len() + 1;
    // Of the lines from these two on, how many are common.
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut marked = Vec::with_capacity(old.len() + new.len());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            marked.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            marked.push(('-', old[i]));
            i += 1;
        } else {
            marked.push(('+', new[j]));
            j += 1;
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn what_differs_is_marked_with_a_little_around_it() {
        assert_eq!(lines("a\nb\nc", "a\nx\nc"), "    a\n  - b\n  + x\n    c\n");
        assert_eq!(lines("a\nb\nc\nd", "b\nd\ne"), "  - a\n    b\n  - c\n    d\n  + e\n");
        let long: Vec<String> = (0..20).map(|line| line.to_string()).collect();
        let expected = "    ...\n    7\n    8\n    9\n  - 10\n    11\n    12\n    13\n    ...\n";
        let mut short = long.clone();
        short.remove(10);
        assert_eq!(lines(&long.join("\n"), &short.join("\n")), expected);
        assert_eq!(lines("", "a"), "  + a\n");
    }
}
