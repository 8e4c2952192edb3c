//! guard as it is shipped: the Debian package, the container image, the Kubernetes manifests.

#![forbid(unsafe_code)]

mod deb;
mod life;
mod system;
mod unit;
