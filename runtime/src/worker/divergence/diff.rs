//! Two texts side by side, shortened around where they begin to differ.

/// Columns that a side gets.
const ROOM: usize = 58;
/// Columns shown of what comes before the difference.
const BEFORE: usize = 24;

/// Both sides on a line each, safe to print, at most 60 columns; and what to print under the second.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Diff {
    pub(super) recorded: String,
    pub(super) requested: String,
    /// Marks the part that differs; none if nothing is the same.
    pub(super) marks: Option<String>,
}

/// Whether a character neither moves the cursor nor turns the text around.
pub(crate) fn shows_as_itself(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str) -> Vec<char> {
    let mut shown = Vec::with_capacity(text.len());
    for c in text.chars() {
        if shows_as_itself(c) { shown.push(c) } else { shown.extend(c.escape_default()) }
    }
    shown
}

impl Diff {
    pub(super) fn of(recorded: &str, requested: &str) -> Self {
        let (recorded, requested) = (escaped(recorded), escaped(requested));
        let same = |(one, other): &(&char, &char)| one == other;
        let before = recorded.iter().zip(&requested).take_while(same).count();
        let left = recorded.len().min(requested.len()) - before;
        let after = recorded.iter().rev().zip(requested.iter().rev()).take(left).take_while(same).count();
        let longest = recorded.len().max(requested.len());
        let start = before.saturating_sub(BEFORE).min(longest.saturating_sub(ROOM));
        let marks = (before + after > 0 && recorded != requested).then(|| {
            let end = (requested.len() - after).min(start + ROOM);
            let lead = before - start + usize::from(start > 0);
            format!("{}{}", " ".repeat(lead), "^".repeat(end.saturating_sub(before).max(1)))
        });
        let shown = |text: &[char]| {
            let mut shown: String = if start > 0 { "…".into() } else { String::new() };
            shown.extend(text.iter().skip(start).take(ROOM));
            if text.len() > start + ROOM {
                shown.push('…');
            }
            shown
        };
        Self { recorded: shown(&recorded), requested: shown(&requested), marks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn shows(recorded: &str, requested: &str, expected: [&str; 3]) {
        let Diff { recorded, requested, marks } = Diff::of(recorded, requested);
        assert_eq!([recorded.as_str(), &requested, marks.as_deref().unwrap_or_default()], expected);
    }

    #[test]
    fn the_part_that_differs_is_marked() {
        shows(
            "WAIT \"nap\" of 3 s",
            "WAIT \"nap\" of 60 s",
            ["WAIT \"nap\" of 3 s", "WAIT \"nap\" of 60 s", "              ^^"],
        );
        shows(
            "STEP \"charge\"",
            "STEP \"charge-card\"",
            ["STEP \"charge\"", "STEP \"charge-card\"", "            ^^^^^"],
        );
        shows("aaa", "aa", ["aaa", "aa", "  ^"]);
        shows("STEP \"a\"", "nothing", ["STEP \"a\"", "nothing", ""]);
        shows("same", "same", ["same", "same", ""]);
        shows("", "", ["", "", ""]);
    }

    #[test]
    fn of_long_texts_the_window_around_the_first_difference_is_shown() {
        let text = |middle: &str| format!("{}{middle}{}", "a".repeat(100), "z".repeat(100));
        let side = |middle: &str| format!("…{}{middle}{}…", "a".repeat(24), "z".repeat(34 - middle.len()));
        let marks = format!("{}^^^", " ".repeat(25));
        shows(&text("old"), &text("new"), [&side("old"), &side("new"), &marks]);
        let much = "b".repeat(200);
        let diff = Diff::of(&"a".repeat(200), &format!("{}{much}", "a".repeat(150)));
        assert_eq!(diff.marks.unwrap().chars().filter(|c| *c == '^').count(), 34, "not beyond the window");
    }

    #[test]
    fn what_moves_the_cursor_is_escaped() {
        shows("a\nb", "a\u{1b}b\u{202e}", ["a\\nb", "a\\u{1b}b\\u{202e}", "  ^^^^^^^^^^^^^^"]);
    }
}
