DROP TABLE bookings, slots, zones;
