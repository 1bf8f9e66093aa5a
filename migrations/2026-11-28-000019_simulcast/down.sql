DROP TABLE simulcast_targets;
