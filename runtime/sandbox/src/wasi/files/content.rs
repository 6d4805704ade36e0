//! A file's bytes, in pages that are shared until they are written to: what a step's body changes costs the pages that
//! it changes, and holes cost nothing.

use bytes::{Bytes, BytesMut};
use std::sync::Arc;

const PAGE: usize = 64 << 10;

/// The last page is as long as it has to be; what a page lacks up to its full length is zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pages: Vec<Arc<Vec<u8>>>,
    size: u64,
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// At most `length` bytes from `offset` on; fewer only at the end.
    pub(super) fn read(&self, offset: u64, length: u64) -> Bytes {
        let end = offset.saturating_add(length).min(self.size);
        let length = end.saturating_sub(offset) as usize;
        let mut bytes = BytesMut::with_capacity(length);
        let mut at = offset;
        while at < end {
            let (page, within) = place(at);
            let most = (PAGE - within).min((end - at) as usize);
            let stored = self.pages[page].get(within..).unwrap_or_default();
            let stored = &stored[..stored.len().min(most)];
            bytes.extend_from_slice(stored);
            bytes.resize(bytes.len() + most - stored.len(), 0);
            at += most as u64;
        }
        bytes.freeze()
    }

    /// Writes all of it, after zeros if `offset` lies beyond the end. The caller has checked that the end fits.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        if end > self.size {
            self.set_size(end);
        }
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (page, within) = place(at);
            let (now, later) = rest.split_at(rest.len().min(PAGE - within));
            let page = Arc::make_mut(&mut self.pages[page]);
            if page.len() < within + now.len() {
                page.resize(within + now.len(), 0);
            }
            page[within..][..now.len()].copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
    }

    /// Cuts the rest off, or adds a hole.
    pub(super) fn set_size(&mut self, size: u64) {
        let pages = size.div_ceil(PAGE as u64) as usize;
        if size < self.size {
            self.pages.truncate(pages);
            if let Some(last) = self.pages.last_mut() {
                let used = (size - (pages as u64 - 1) * PAGE as u64) as usize;
                if last.len() > used {
                    Arc::make_mut(last).truncate(used);
                }
            }
        } else if pages > self.pages.len() {
            let hole = Arc::new(Vec::new());
            self.pages.resize(pages, hole);
        }
        self.size = size;
    }
}

/// Page and offset in it.
fn place(offset: u64) -> (usize, usize) {
    ((offset / PAGE as u64) as usize, (offset % PAGE as u64) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain vector, around page boundaries; the copy taken before each change keeps what it had.
    #[test]
    fn pages_are_a_vector_of_bytes() {
        let places = [0, 1, 7, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 3, 3 * PAGE];
        let (mut content, mut model) = (Content::default(), Vec::new());
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for round in 0..400 {
            let before = (content.clone(), model.clone());
            let (at, length) = (places[random(places.len())], places[random(places.len())] / (1 + random(3)));
            if random(3) == 0 {
                content.set_size(at as u64);
                model.resize(at, 0);
            } else {
                let bytes = vec![1 + random(255) as u8; length];
                content.write(at as u64, &bytes);
                if length > 0 || at > model.len() {
                    model.resize(model.len().max(at + length), 0);
                }
                let from = at.min(model.len());
                model[from..][..length].copy_from_slice(&bytes);
            }
            for (content, model) in [(&content, &model), (&before.0, &before.1)] {
                assert_eq!(content.size(), model.len() as u64, "round {round}");
                assert!(content.read(0, u64::MAX) == *model, "round {round}");
                let from = at.min(model.len());
                assert!(content.read(at as u64, 9) == model[from..model.len().min(from + 9)], "round {round}");
            }
        }
    }
}
