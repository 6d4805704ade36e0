//! Floating-point arithmetic that ends in NaNs: their bits are left open by WebAssembly, and must not be.

use crate::world::World;
use core::arch::wasm32::{
    f32x4_add, f32x4_ceil, f32x4_demote_f64x2_zero, f32x4_div, f32x4_extract_lane, f32x4_max, f32x4_min, f32x4_mul,
    f32x4_splat, f32x4_sqrt, f32x4_sub, f64x2_add, f64x2_div, f64x2_extract_lane, f64x2_floor, f64x2_max, f64x2_min,
    f64x2_mul, f64x2_promote_low_f32x4, f64x2_splat, f64x2_sqrt, f64x2_sub, v128,
};
use std::hint::black_box;

const DOUBLES: [u64; 14] = [
    0,
    1 << 63,               // -0
    0x3ff8_0000_0000_0000, // 1.5
    0xc000_0000_0000_0000, // -2
    0x7ff0_0000_0000_0000, // infinity
    0xfff0_0000_0000_0000, // -infinity
    0x7ff8_0000_0000_0000, // NaN
    0xfff8_0000_0000_0000, // -NaN
    0x7ff8_0000_dead_beef, // with a payload
    0xfff4_0000_0000_0001, // signalling
    0x7ff0_0000_0000_0007, // signalling
    1,                     // the smallest
    0x7fef_ffff_ffff_ffff, // the largest
    0x41df_ffff_ffc0_0000, // 2^31 - 1
];
const SINGLES: [u32; 8] =
    [0, 0x8000_0000, 0x3fc0_0000, 0x7f80_0000, 0xff80_0000, 0xffc0_0000, 0x7fc0_1234, 0xff80_0001];

fn double(world: &World, turn: u64) -> f64 {
    f64::from_bits(black_box(DOUBLES[((world.digest() >> 8).wrapping_add(turn) % DOUBLES.len() as u64) as usize]))
}

fn single(world: &World, turn: u64) -> f32 {
    f32::from_bits(black_box(SINGLES[((world.digest() >> 16).wrapping_add(turn) % SINGLES.len() as u64) as usize]))
}

/// Arithmetic has one NaN.
fn see_double(world: &World, value: f64) {
    let bits = value.to_bits();
    assert!(!value.is_nan() || bits == 0x7ff8_0000_0000_0000, "arithmetic made the NaN {bits:#x}");
    world.see(bits);
}

fn see_single(world: &World, value: f32) {
    let bits = value.to_bits();
    assert!(!value.is_nan() || bits == 0x7fc0_0000, "arithmetic made the NaN {bits:#x}");
    world.see(u64::from(bits));
}

#[allow(clippy::cast_possible_truncation, clippy::float_cmp)]
pub(crate) fn floats(world: &World, rounds: u8) {
    for turn in 0..u64::from(rounds) {
        let (a, b) = (double(world, turn), double(world, turn * 7 + 3));
        let (c, d) = (single(world, turn), single(world, turn * 5 + 1));
        for value in [a + b, a - b, a * b, a / b, b / a, a.sqrt(), a.floor(), a.ceil(), a.trunc(), f64::from(c)] {
            see_double(world, value);
        }
        for value in [c + d, c - d, c * d, c / d, c.sqrt(), c.floor(), c.ceil(), c.trunc(), a as f32] {
            see_single(world, value);
        }
        // These pass a NaN on as it is, or test for it.
        for value in [a.min(b), a.max(b), a.copysign(b), -a, a.abs(), a.mul_add(b, a), a % b, a.rem_euclid(b)] {
            world.see(value.to_bits());
        }
        world.see((a as i64) as u64);
        world.see(u64::from(c as u32));
        world.see(u64::from(a < b) + 2 * u64::from(a == b) + 4 * u64::from(a.total_cmp(&b).is_lt()));
        world.see_bytes(format!("{a:?} {c:e}").as_bytes());
    }
}

#[target_feature(enable = "simd128")]
pub(crate) fn vectors(world: &World, rounds: u8) {
    for turn in 0..u64::from(rounds) {
        let (a, b) = (f64x2_splat(double(world, turn)), f64x2_splat(double(world, turn * 3 + 1)));
        let (c, d) = (f32x4_splat(single(world, turn)), f32x4_splat(single(world, turn * 3 + 2)));
        for value in [
            f64x2_add(a, b),
            f64x2_sub(a, b),
            f64x2_mul(a, b),
            f64x2_div(a, b),
            f64x2_sqrt(a),
            f64x2_min(a, b),
            f64x2_max(a, b),
            f64x2_floor(a),
            f64x2_promote_low_f32x4(c),
        ] {
            see_doubles(world, value);
        }
        for value in [
            f32x4_add(c, d),
            f32x4_sub(c, d),
            f32x4_mul(c, d),
            f32x4_div(c, d),
            f32x4_sqrt(c),
            f32x4_min(c, d),
            f32x4_max(c, d),
            f32x4_ceil(c),
            f32x4_demote_f64x2_zero(a),
        ] {
            see_singles(world, value);
        }
    }
}

#[target_feature(enable = "simd128")]
fn see_doubles(world: &World, value: v128) {
    see_double(world, f64x2_extract_lane::<0>(value));
    see_double(world, f64x2_extract_lane::<1>(value));
}

#[target_feature(enable = "simd128")]
fn see_singles(world: &World, value: v128) {
    see_single(world, f32x4_extract_lane::<0>(value));
    see_single(world, f32x4_extract_lane::<3>(value));
}
