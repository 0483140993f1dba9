DROP TABLE parcel_lines, parcels, movements, goods;
