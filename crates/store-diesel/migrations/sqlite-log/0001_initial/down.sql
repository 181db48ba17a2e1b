DROP TABLE quirk_counts;
DROP TABLE request_names;
DROP TABLE requests;
