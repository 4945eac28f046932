//! MariaDB away: nothing is acknowledged, and nothing acknowledged is lost.
