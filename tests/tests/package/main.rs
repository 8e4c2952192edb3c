//! guard as it is shipped: the Debian package, the container image, the Kubernetes manifests.

#![forbid(unsafe_code)]

mod container;
mod deb;
mod defaults;
mod hand_over;
mod kubernetes;
mod life;
mod pod;
mod system;
mod tools;
mod unit;
