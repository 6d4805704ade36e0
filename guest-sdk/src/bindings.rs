//! The imports of `wit/everstep.wit`, generated. `next` and `end` are not called through here: see [`crate::seal`].

wit_bindgen::generate!({ path: "../wit", world: "workflow" });

pub(crate) use everstep::workflow::durable::*;
