//! One suite per port: what every backend must keep.
