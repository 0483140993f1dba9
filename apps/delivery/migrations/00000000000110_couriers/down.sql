ALTER TABLE bookings DROP COLUMN courier_id;
